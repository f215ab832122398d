"""Chat templates of the families there are: what is trained ends, thoughts are cut, training and answering agree.

The templates are small ones of our own, each with the trait of its family; and where TRL is installed, the real ones of
the families that it carries.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from bench.core.blocks import Prompt
from bench.core.vocabulary import Question
from systems.parts.prompt import THOUGHTS, encode, encode_answer, messages, said, without_thoughts
from tests.conftest import MICRO

TALK = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
ASKS = "{% if add_generation_prompt %}<|assistant|>"
FAMILIES = {  # the trait -> template
    "ends each turn": f"{TALK}<end>{{% endfor %}}{ASKS}{{% endif %}}",
    "ends each turn with a line": f"{TALK}<end>\n{{% endfor %}}{ASKS}{{% endif %}}",
    "never ends a turn": f"{TALK}{{% endfor %}}{ASKS}{{% endif %}}",
    "answers in a channel": (
        "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>"
        f"{{{{ m.content }}}}<end>{{% endfor %}}{ASKS}{{% endif %}}"
    ),
    "opens a thought": f"{TALK}<end>{{% endfor %}}{ASKS}<think>\n{{% endif %}}",
    "has no system role": (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}<|{{ m.role }}|>"
        f"{{{{ m.content }}}}<end>{{% endfor %}}{ASKS}{{% endif %}}"
    ),
    "": "",
}
WROTE = {  # what a model of the family writes -> the answer in it
    "answers in a channel": (
        "<|channel|>analysis<|message|>Is it 14 Nm?<|end|><|start|>assistant<|channel|>final<|message|>15 Nm",
        "15 Nm",
    ),
    "opens a thought": ("Is it 14 Nm?</think>\n\n15 Nm", "15 Nm"),
    "ends each turn": ("<think>Is it 14 Nm?</think>15 Nm", "15 Nm"),
}
ANSWER = "15 Nm"


def tokenizer(family: str) -> Any:
    found = AutoTokenizer.from_pretrained(MICRO)
    marks = ["system", "user", "assistant", "channel", "message", "start", "end"]
    found.add_special_tokens({"additional_special_tokens": [f"<|{mark}|>" for mark in marks]})
    found.chat_template = FAMILIES[family] or None
    return found


def talk() -> list[dict[str, str]]:
    return messages(Prompt(system="Be brief.", closed_book="{question}"), Question("q", "What torque?"), None)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_trained_ends_and_reads_back_as_the_answer(family: str) -> None:
    known = tokenizer(family)
    prompt, trained = encode(known, talk()), encode_answer(known, talk(), ANSWER)
    assert known.eos_token_id in trained
    written = trained[: trained.index(known.eos_token_id)]
    assert said(known, prompt, written) == ANSWER


@pytest.mark.parametrize("family", WROTE)
def test_thoughts_are_no_answer(family: str) -> None:
    known = tokenizer(family)
    written, answer = WROTE[family]
    ids = known.encode(written, add_special_tokens=False)
    assert said(known, encode(known, talk()), ids) == answer


def test_a_thought_without_an_end_says_nothing() -> None:
    known = tokenizer("opens a thought")
    assert said(known, encode(known, talk()), known.encode("Is it 14 Nm?", add_special_tokens=False)) == ""
    known = tokenizer("answers in a channel")
    ids = known.encode("<|channel|>analysis<|message|>Is it 14 Nm?", add_special_tokens=False)
    assert said(known, encode(known, talk()), ids) == ""


def test_the_tokenizers_own_response_template_decides() -> None:
    known = tokenizer("ends each turn")
    known.response_template = {
        "start_anchor": "<|assistant|>",
        "fields": {"reasoning_content": {"open": "(", "close": ")"}, "content": {}},
    }
    ids = known.encode("(Is it 14 Nm?)15 Nm", add_special_tokens=False)
    assert said(known, encode(known, talk()), ids) == ANSWER


def test_an_endpoints_text_is_cut_as_well() -> None:
    assert without_thoughts("<think>a</think> b") == without_thoughts("a</think> b") == "b"
    for begin, end in THOUGHTS.items():
        assert without_thoughts(f"{begin}a{end} b") == without_thoughts(f"a{end} b") == "b"
        assert without_thoughts("a", opened=begin) == ""
    assert without_thoughts("a < b") == "a < b" and without_thoughts("<think>a") == ""


REAL = {  # start of a family's name -> its end of a turn
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "diffusion_gemma": "<turn|>",
    "gemma": "<end_of_turn>",
    "gemma4": "<turn|>",
    "glm4": "<|user|>",
    "gptoss": "<|return|>",
    "lfm2": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "muse": "<|eot|>",
    "nemotron": "<|im_end|>",
    "phi3": "<|end|>",
    "qwen": "<|im_end|>",
}
SPECIAL = re.compile(r"<[|｜][^<>\n]{1,40}?[|｜]?>|</?[a-z_]+\|?>")


def real_templates() -> list[Path]:
    """The chat templates of models of text that come with TRL; one that is not there where TRL is not."""
    found = importlib.util.find_spec("trl")
    folder = Path(next(iter(found.submodule_search_locations or ("",)))) if found else Path("trl")
    known = [p for p in sorted(folder.glob("chat_templates/*.jinja")) if p.stem.startswith(tuple(REAL))]
    return known or [folder / "chat_templates" / "none.jinja"]


def real_tokenizer(path: Path) -> Any:
    """The micro tokenizer with a family's template and special tokens."""
    if not path.exists():
        pytest.skip("the chat templates of real families come with trl, which is not installed")
    template, end = path.read_text(encoding="utf-8"), REAL[max((s for s in REAL if path.stem.startswith(s)), key=len)]
    found = AutoTokenizer.from_pretrained(MICRO)
    marks = sorted({*SPECIAL.findall(template), end} - {"<think>", "</think>"})
    found.add_special_tokens({"additional_special_tokens": marks})
    found.eos_token, found.bos_token, found.chat_template = end, found.bos_token or "<bos>", template
    return found


@pytest.mark.parametrize(
    "path", [p for p in real_templates() if not p.stem.endswith("_training")], ids=lambda p: p.stem
)
def test_what_a_real_family_is_taught_ends_and_reads_back(path: Path) -> None:
    known = real_tokenizer(path)
    prompt, trained = encode(known, talk()), encode_answer(known, talk(), ANSWER)
    assert known.eos_token_id in trained and "What torque?" in known.decode(prompt)
    assert "Be brief." in known.decode(prompt)
    assert said(known, prompt, trained[: trained.index(known.eos_token_id)]) == ANSWER


THINKS = "deepseek"  # their templates open a thought in the prompt, which is closed before the answer


@pytest.mark.parametrize(
    "path",
    [p for p in real_templates() if "_training" in p.stem and THINKS not in p.stem] or real_templates()[:1],
    ids=lambda p: p.stem,
)
def test_labels_of_real_families_are_trls(path: Path) -> None:
    """TRL's mask may begin earlier, in what stands in the prompt here: the header of the turn, and a thought without
    words."""
    known = real_tokenizer(path)
    system = [] if path.stem == "gemma_training" else talk()[:1]  # it has no system role
    asked = [*system, talk()[-1]]
    whole = known.apply_chat_template(
        [*asked, {"role": "assistant", "content": ANSWER}],
        return_dict=True,
        return_assistant_tokens_mask=True,
        enable_thinking=False,
    )
    labels = [i for i, trained in zip(whole["input_ids"], whole["assistant_masks"], strict=True) if trained]
    prompt, answer = encode(known, asked), encode_answer(known, asked, ANSWER)
    assert labels[-len(answer) :] == answer
    before = labels[: -len(answer)]
    assert not before or prompt[-len(before) :] == before
