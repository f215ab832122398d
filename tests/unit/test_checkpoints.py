"""Models as people have them: what cannot work is told in one line before anything runs, or fails its cell."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.core import checkpoint, hub
from bench.core.blocks import Prompt
from bench.core.errors import UserError
from bench.core.store import Store
from bench.core.tokenizer import TOKENIZERS
from bench.core.vocabulary import Question
from bench.execution.pinning import prepare
from bench.execution.run import run
from bench.spec.cells import cells
from bench.spec.load import parse
from tests.conftest import MICRO, raw_spec


@pytest.fixture
def folder(tmp_path: Path, tiny_lm: Path) -> Path:
    return Path(shutil.copytree(tiny_lm, tmp_path / "lm"))


def edit(file: Path, **changes: Any) -> None:
    found = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in {**found, **changes}.items() if v is not None}))


def pointer(folder: Path) -> None:
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def template_pointer(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")


def cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 12) + b"not a header")


def pickled(folder: Path) -> None:
    """The weights as PyTorch wrote them, cut short."""
    (folder / "model.safetensors").unlink()
    torch.save({"w": torch.zeros(100)}, folder / "pytorch_model.bin")
    file = folder / "pytorch_model.bin"
    checkpoint.check(folder, what="embedder", key="embedder.name")  # whole
    file.write_bytes(file.read_bytes()[:-100])


def no_weights(folder: Path) -> None:
    for name in ("training_args.bin", "optimizer.pt", "optimizer.bin"):
        torch.save({"w": torch.zeros(1)}, folder / name)
    (folder / "model.safetensors").unlink()


def no_tokenizer(folder: Path) -> None:  # but what is said about it
    for name in TOKENIZERS:
        (folder / name).unlink(missing_ok=True)
    assert (folder / "tokenizer_config.json").exists()


def no_end(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "generation_config.json", eos_token_id=None)


def gguf(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.gguf")


def template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }")


def raising(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('only tools may speak') }}")


def calling(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages[0].content + no_such_token() }}")


def dropping(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}<{{ m.role }}>{% endfor %}")


Broken = Callable[[Path], None]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (template_pointer, "chat_template.jinja: this is a pointer of Git LFS, not the chat template"),
        (pointer, "model.safetensors: this is a pointer of Git LFS.*git lfs pull"),
        (cut, "model.safetensors: the weights are cut short or damaged: [0-9,]+ of [0-9,]+ bytes"),
        (garbage, "cut short or damaged"),
        (pickled, "pytorch_model.bin: the weights are cut short or damaged"),
        (no_weights, "the base model folder has no weights"),
        (no_tokenizer, "the model has no tokenizer"),
        (no_end, "names no end token"),
        (gguf, "this is GGUF.*`model.base_url`"),
        (template, "the chat template is no valid Jinja.*line 1"),
        (raising, "chat_template.jinja: the chat template cannot write a question: .*only tools may speak"),
        (calling, "the chat template cannot write a question: .*no_such_token"),
        (dropping, "the chat template drops what the user says"),
        (lambda f: edit(f / "config.json", architectures=["ViTForImageClassification"]), "ViT.* is no causal language"),
        (lambda f: edit(f / "config.json", is_encoder_decoder=True), "is no causal language model"),
        (
            lambda f: edit(f / "config.json", model_type="bert", architectures=["BertLMHeadModel"]),
            "BertLMHeadModel is no",
        ),
        (lambda f: (f / "config.json").write_text("[]"), "config.json: expected a JSON object"),
        (lambda f: (f / "config.json").write_text("{"), "config.json:1: malformed JSON"),
        (lambda f: edit(f / "config.json", auto_map={"AutoModel": "x.Y"}), "needs code of its own"),
    ],
)
def test_what_cannot_work_is_told_before_anything_runs(folder: Path, broken: Broken, said: str) -> None:
    checkpoint.check(folder, what="base model", key="model.name")  # as it was
    broken(folder)
    with pytest.raises(UserError, match=said) as e:
        hub.pin(str(folder), None, what="base model", key="model.name")
    assert len(str(e.value)) < 300


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.gguf", "this is GGUF"),
        *((name, "cannot be a hub id") for name in ("a/b/c", "a b", "a..b/c", "a--b/c", "org/n.git", "-a/b", "a/b-")),
        *((name, "cannot be a hub id") for name in ("a/.b", "\u00fcn\u00ef/x", "x" * 97)),
    ],
)
def test_names_that_are_no_model(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        hub.pin(name, None, what="base model", key="model.name")
    assert hub.local(name, "main") is None


def test_an_embedder_in_gguf_cannot_be_served_here() -> None:
    with pytest.raises(UserError, match=r"Give the folder or hub id of a model in safetensors as `embedder\.name`"):
        hub.pin("x.gguf", None, what="embedder", key="embedder.name")


@pytest.mark.parametrize("name", ["a/b/c", "x.gguf"])
def test_an_entailment_model_that_is_none_is_told_before_anything_runs(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"entailment\.name|this is GGUF"):
        prepare(parse(raw_spec(entailment={"name": name})), Store(tmp_path))


def test_a_model_that_sees_may_read(folder: Path) -> None:
    edit(folder / "config.json", architectures=["Gemma3ForConditionalGeneration"], text_config={"eos_token_id": 1})
    checkpoint.check(folder, what="base model", key="model.name")


def test_a_template_for_tools_may_need_more_than_a_question(folder: Path) -> None:
    plain = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    tools = {"name": "tool_use", "template": "{{ documents[0].text }}"}
    edit(folder / "tokenizer_config.json", chat_template=[{"name": "default", "template": plain}, tools])
    checkpoint.check(folder, what="base model", key="model.name")
    edit(folder / "tokenizer_config.json", chat_template=[tools | {"name": "default"}])
    with pytest.raises(UserError, match="cannot write a question"):
        checkpoint.check(folder, what="base model", key="model.name")


@pytest.mark.heavy
def test_missing_weights_fail_their_cell(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    name = min(n for n in weights if "mlp" in n)
    weights["model.misnamed.weight"] = weights.pop(name)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    spec = parse(raw_spec(model={"name": str(folder)}, systems=[{"name": "c", "kind": "closed_book"}]))
    outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    (reason,) = outcome.failed.values()
    assert "1 missing, such as " in reason and name in reason and "model.misnamed.weight" in reason


def test_a_hybrid_answers_with_the_model_of_its_adapter(tiny_lm: Path) -> None:
    systems: list[dict[str, Any]] = [
        {"name": "rag", "kind": "rag"},
        {"name": "lora", "kind": "lora", "model": {"name": str(tiny_lm)}},
        {"name": "both", "kind": "hybrid", "rag": "rag", "adapter": "lora"},
    ]
    made = {cell.system: cell for cell in cells(parse(raw_spec(systems=systems)))}
    assert made["both"].config["model"]["name"] == str(tiny_lm) != made["rag"].config["model"]["name"]
    systems[2]["model"] = {"name": str(MICRO)}
    with pytest.raises(UserError, match=r"'both' asks for the model .* and 'lora' was trained on"):
        cells(parse(raw_spec(systems=systems)))


NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)
DROPPED = "{% for m in messages if m.role != 'system' %}[{{ m.role }}]{{ m.content }}{% endfor %}"


@pytest.mark.parametrize("template", [NO_SYSTEM, DROPPED])
def test_the_system_text_is_told_whatever_the_template_has(tiny_lm: Path, template: str) -> None:
    from transformers import AutoTokenizer

    from systems.parts.prompt import encode, encode_answer, messages

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    tokenizer.chat_template = template
    talk = messages(Prompt(system="Be brief.", closed_book="{question}"), Question("q", "Why?"), None)
    said = tokenizer.decode(encode(tokenizer, talk), clean_up_tokenization_spaces=False)
    assert said.replace(" ", "").startswith("[user]Bebrief.\n\nWhy?") or "Be brief." in said
    assert encode_answer(tokenizer, talk, "So.")


@pytest.mark.parametrize(
    "asked",
    [
        'strftime_now("%d %B %Y")',
        "strftime_now ( '%d %B %Y' )",
        'strftime_now(format="%d %B %Y")',
        "'%d %B %Y' | strftime_now",
        "strftime_now('%d ' ~ '%B %Y')",
    ],
)
def test_a_template_that_prints_the_date_is_the_same_tomorrow(asked: str, tiny_lm: Path) -> None:
    from transformers import AutoTokenizer

    from systems.parts.prompt import encode, fix_date, messages

    fix_date()

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    asked = asked.replace("'%d %B %Y' | strftime_now", "strftime_now(form)")
    dated = (
        f"{{% set form = '%d %B %Y' %}}{{{{ {asked} }}}}{{% for m in messages %}}[{{{{ m.role }}}}]{{{{ m.content }}}}"
    )
    dated += "{% endfor %}"
    for template in ({"default": dated, "other": dated}, dated):
        tokenizer.chat_template = template
        talk = messages(Prompt(system="", closed_book="{question}"), Question("q", "Why?"), None)
        assert encode(tokenizer, talk) == tokenizer.encode("01 January 2025[user]Why?", add_special_tokens=False)


def test_a_template_that_drops_the_question_is_refused(tiny_lm: Path) -> None:
    from transformers import AutoTokenizer

    from systems.parts.prompt import check_template

    tokenizer = AutoTokenizer.from_pretrained(tiny_lm)
    check_template(tokenizer)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content[0].text }}{% endfor %}"
    with pytest.raises(ValueError, match="drops what the user says"):
        check_template(tokenizer)


def test_the_window_is_that_of_the_part_that_reads(tiny_lm: Path) -> None:
    from systems.parts.lm import ready

    text = SimpleNamespace(max_position_embeddings=1024)
    whole = SimpleNamespace(max_position_embeddings=2040, get_text_config=lambda: text)
    model = SimpleNamespace(config=whole, generation_config=SimpleNamespace(max_length=20))
    assert ready(model, SimpleNamespace(model_max_length=10**30), max_new_tokens=24).window == 1000


class Linears(torch.nn.Module):
    """A model with so many parameters in four bits, of a thousand beside its embeddings and head."""

    def __init__(self, four: int) -> None:
        super().__init__()
        self.embedding, self.head = torch.nn.Embedding(50, 10), torch.nn.Linear(10, 50, bias=False)
        self.packed = torch.nn.Parameter(torch.zeros(four // 2 or 1, dtype=torch.uint8), requires_grad=False)
        if four:
            self.packed.quant_state = SimpleNamespace(shape=torch.Size([four]))
        self.rest = torch.nn.Parameter(torch.zeros(1000 - max(four, 1)))

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.embedding

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.head


def test_what_is_called_4_bit_is_4_bit() -> None:
    from systems.parts.lm import four_bit_share

    assert four_bit_share(Linears(980), "m") == pytest.approx(0.98)
    for four in (0, 60):
        with pytest.raises(ValueError, match=f"only {four / 1000:.0%} of the parameters of m .* QLoRA out"):
            four_bit_share(Linears(four), "m")


def test_a_width_that_bitsandbytes_cannot_multiply_is_explained() -> None:
    from systems.parts.lm import four_bit_errors

    with pytest.raises(ValueError, match=r"N must be divisible by block_n.*Leave NF4"), four_bit_errors():
        raise RuntimeError("N must be divisible by block_n")
    with pytest.raises(RuntimeError, match="something else"), four_bit_errors():
        raise RuntimeError("something else")


def test_a_real_model_of_such_a_width_is_explained(tmp_path: Path) -> None:
    """What bitsandbytes itself raises, on a processor where it cannot multiply the width; elsewhere the model
    answers."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    from bench.core.blocks import Model
    from systems.parts import lm

    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    sizes = {"hidden_size": 72, "intermediate_size": 72, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(tokenizer), pad_token_id=0, eos_token_id=tokenizer.eos_token_id, **sizes)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, known = lm.load(Model(name=str(tmp_path), device="cpu"), precision="nf4")
    ready = lm.ready(model, known, max_new_tokens=4)
    try:
        assert ready.complete([[5, 6, 7]])
    except ValueError as e:
        assert "N must be divisible by block_n" in str(e) and "Leave NF4" in str(e)


@pytest.mark.parametrize("kind", ["mamba", "llama"])
def test_lora_adapts_what_can_be_adapted(kind: str) -> None:
    """PEFT refuses a Mamba whose `out_proj` is a target, which `all-linear` makes it."""
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from bench.core.blocks import Tuning
    from systems.parts import adapter

    sizes = {"vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "intermediate_size": 16} if kind == "llama" else {"state_size": 4}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **heads))
    left = adapter.left_out(Tuning(), model)
    adapted = {
        n.rpartition(".")[2]
        for n, m in get_peft_model(model, adapter.lora(Tuning(), model)).named_modules()
        if hasattr(m, "lora_A")
    }
    if kind == "mamba":
        assert set(left) == {"out_proj", "conv1d"} and adapted == {"in_proj", "x_proj", "dt_proj"}
    else:
        assert left == () and len(adapted) == 7
    assert adapter.left_out(Tuning(targets=("in_proj",)), model) == ()


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "tokenizer.model"])
def test_a_pointer_of_git_lfs_is_told_as_one(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UserError, match="this is a pointer of Git LFS, not the file"):
        checkpoint.check(folder, what="base model", key="model.name")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vocab_size": 7}, "`vocab_size` is 7, and"),
        ({"model_type": "lamma"}, "`model_type` is 'lamma', which this version of transformers does not have"),
        ({"model_type": "bart", "architectures": ["BartForCausalLM"]}, "BartForCausalLM is no causal language model"),
        ({"model_type": "t5", "architectures": None}, "t5 is no causal language model"),
        ({"model_type": "distilbert", "architectures": None}, "distilbert is no causal language model"),
        (
            {"model_type": "ernie", "architectures": ["ErnieForCausalLM"]},
            "ErnieForCausalLM is no causal language model",
        ),
        ({"model_type": "plbart", "architectures": ["PLBartForCausalLM"]}, "PLBartForCausalLM is no causal"),
    ],
)
def test_a_config_that_is_not_of_its_weights(folder: Path, change: dict[str, Any], told: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(UserError, match=told):
        checkpoint.check(folder, what="base model", key="model.name")


def test_an_index_that_names_what_no_shard_holds(folder: Path) -> None:
    index = {"weight_map": {"model.lost.weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"it names 'model\.lost\.weight', which model\.safetensors does not hold"):
        checkpoint.check(folder, what="base model", key="model.name")


def test_a_broken_one_of_several_templates(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    path = folder / "tokenizer_config.json"
    several = [{"name": "default", "template": "{{ x }}"}, {"name": "tool", "template": "{% if %}"}]
    path.write_text(json.dumps({**json.loads(path.read_text()), "chat_template": several}))
    with pytest.raises(UserError, match="no valid Jinja"):
        checkpoint.check(folder, what="base model", key="model.name")


def test_towers_are_passed_over_only_where_the_config_has_them(tiny_lm: Path) -> None:
    from transformers import LlamaConfig, LlavaConfig

    from systems.parts.lm import _check_whole

    info = {"missing_keys": [], "mismatched_keys": [], "unexpected_keys": ["image_adapter.weight"]}
    with pytest.raises(ValueError, match="1 not of the model, such as image_adapter"):
        _check_whole("m", info, LlamaConfig())
    _check_whole("m", info, LlavaConfig())


def test_a_folder_of_the_name_is_no_dataset_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "squad").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="the hub did not give it"):
        hub.commit("squad", None, what="dataset", key="dataset.name")
