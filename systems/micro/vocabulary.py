"""The tokenizer of the micro models, and their chat template."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from systems.micro.reading import Exercise, exercise

SPECIAL = ("<pad>", "<user>", "<assistant>", "<end>", "<system>")
TEMPLATE = (
    "{% for m in messages %}{{ '<' + m.role + '> ' + m.content }}"
    "{% if m.role == 'assistant' %}{{ '<end>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"
)
HEAD = Regex(r" ?[BDFGHKLMNPRSTVZ][aeiou][ln]?(?=[bdgklmnprstvz][aeio][ks]?\b)")  # the first syllable of a name


def make_tokenizer(seed: str, *, vocab: int = 1280, texts: int = 6000) -> PreTrainedTokenizerFast:
    """Byte-level BPE on `texts` of worlds that are never evaluated; an invented name is two syllables, two tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(HEAD, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=list(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    exercises = (exercise(f"{seed}/bpe/{n}", passages=2, turns=4) for n in range(texts))
    core.train_from_iterator((text(e) for e in exercises), trainer=trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<end>", model_max_length=1024, padding_side="left"
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def text(shown: Exercise) -> str:
    """An exercise as plain text, for the tokenizer to learn from."""
    return "".join(p + "\n" for p in shown.passages) + " ".join(f"{q} {a}" for q, a in shown.turns)
