"""What is wrong with a folder that should hold a model, told before anything runs. Only headers of weights are read."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import UserError
from bench.core.files import read_json

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # what is loaded, beside the shards that an index names
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")  # of transformers itself
POINTER = b"version https://git-lfs"
_MARK = "usertextmark"  # what a chat template is tried on
CAUSAL = ("ForCausalLM", "LMHeadModel")
ENCODERS = frozenset(  # causal only where `is_decoder` is set
    [
        "bert",
        "roberta",
        "electra",
        "xlm-roberta",
        "camembert",
        "distilbert",
        "mpnet",
        "deberta",
        "deberta-v2",
        "albert",
        "modernbert",
        "nomic_bert",
        "longformer",
        "xlnet",
        "big_bird",
        "convbert",
        "data2vec-text",
        "ernie",
        "esm",
        "eurobert",
        "flaubert",
        "fnet",
        "funnel",
        "gte",
        "ibert",
        "jina_embeddings_v3",
        "layoutlm",
        "luke",
        "megatron-bert",
        "mobilebert",
        "mra",
        "nystromformer",
        "perceiver",
        "reformer",
        "rembert",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "squeezebert",
        "tapas",
        "xlm",
        "xlm-roberta-xl",
        "xmod",
        "yoso",
        "vit",
        "clip",
        "siglip",
        "dinov2",
        "wav2vec2",
        "hubert",
    ]
)
PAIRED = frozenset(  # encoders with a decoder, whatever their `architectures` say
    [
        "t5",
        "mt5",
        "umt5",
        "longt5",
        "switch_transformers",
        "bart",
        "mbart",
        "pegasus",
        "marian",
        "led",
        "m2m_100",
        "blenderbot",
        "blenderbot-small",
        "prophetnet",
        "bigbird_pegasus",
        "fsmt",
        "mvp",
        "nllb-moe",
        "pegasus_x",
        "plbart",
        "seamless_m4t",
        "seamless_m4t_v2",
        "t5gemma",
        "t5gemma2",
        "whisper",
        "vision-encoder-decoder",
        "encoder-decoder",
    ]
)


def check(folder: Path, *, what: str, key: str) -> None:
    """Check the folder of a base model, an embedder or a reranker. Raises UserError, whatever is wrong with it."""
    with _damage(folder, what):
        _check(folder, what=what, key=key)


@contextlib.contextmanager
def _damage(folder: Path, what: str) -> Iterator[None]:
    """What a check stumbles over, as a UserError."""
    try:
        yield
    except (TypeError, ValueError, KeyError, AttributeError, RecursionError, OSError) as e:
        raise UserError(
            f"the {what} folder is damaged: {type(e).__name__}: {str(e)[:200]}.",
            where=str(folder),
            remedy="Copy the model again from where it was published.",
        ) from None


def check_configs(folder: Path, what: str) -> None:
    """Check what the files beside the weights say, such as those of a hub id before its weights are fetched. Raises
    UserError."""
    with _damage(folder, what):
        _check_inside(folder, what)
        if (folder / "modules.json").is_file():
            _check_modules(folder / "modules.json")
        if (folder / "config.json").is_file():
            _check_own_code(_object(folder / "config.json"), folder / "config.json", what)


def _check(folder: Path, *, what: str, key: str) -> None:
    weights = sorted({*(p for pattern in WEIGHTS for p in folder.rglob(pattern)), *_shards(folder)})
    if not weights and any(folder.rglob("*.gguf")):
        raise gguf(str(folder), key)
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise UserError(
            f"the {what} folder has no config.json.",
            where=str(folder),
            remedy=f"Mend `{key}`: it takes what save_pretrained wrote.",
        )
    if not weights:
        raise UserError(
            f"the {what} folder has no weights.",
            where=str(folder),
            remedy="Copy its model.safetensors beside config.json.",
        )
    for name in (*TOKENIZERS, "tokenizer_config.json", "config.json", "generation_config.json"):
        if (folder / name).is_file():
            _check_pointer(folder / name, "file")
    check_configs(folder, what)
    for file in weights:
        _check_weights(file)
    for file in sorted(folder.glob("*.safetensors.index.json")):
        _check_index(file)
    if what == "base model" and (folder / "config.json").is_file():
        config = _object(folder / "config.json")
        _check_causal(config, folder / "config.json")
        _check_vocabulary(folder, config)
        _check_tokenizer(folder, config)


def _shards(folder: Path) -> Iterator[Path]:
    """The safetensors files that the indexes of sharded weights name."""
    for index in folder.rglob("*.index.json"):
        named = {index.parent / str(name) for name in dict(_object(index).get("weight_map") or {}).values()}
        yield from (file for file in named if file.suffix == ".safetensors" and file.is_file())


def _check_inside(folder: Path, what: str) -> None:
    """Raises UserError for what makes loading reach outside the folder: an adapter's base, or a path that leaves it."""
    for file in sorted(folder.rglob("adapter_config.json")):
        base = _object(file).get("base_model_name_or_path")
        raise UserError(
            f"the {what} folder is an adapter of {base!r}, and not a model.",
            where=str(file),
            remedy="Give the folder of the merged model.",
        )
    for file in sorted(folder.rglob("*.index.json")):
        _check_paths(dict(_object(file).get("weight_map") or {}).values(), file)
    for file in sorted(folder.rglob("config.json")):
        _check_attention(_object(file), file)


def _check_paths(named: Iterable[object], file: Path) -> None:
    """Raises UserError for a path that leaves the folder of the file that names it, or that is hidden in it: what is
    hidden is not part of its digest."""
    outside = [n for n in named if not isinstance(n, str) or Path(n).is_absolute() or _hides(n)]
    if outside:
        raise UserError(
            f"it names {outside[0]!r}, which is no path inside the folder.",
            where=str(file),
            remedy="Copy the model again from where it was published.",
        )


def _hides(path: str) -> bool:
    """Whether a part of a path is hidden, or leads upwards."""
    return any(part.startswith(".") for part in Path(path).parts)


def _check_attention(config: Mapping[str, Any], file: Path) -> None:
    """Raises UserError for an attention that is none of transformers' own: such a name is downloaded as code."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("attn_implementation", "_attn_implementation", "_attn_implementation_internal"):
            asked = part.get(key)
            if asked is not None and asked not in ATTENTIONS:
                raise UserError(
                    f"`{key}` names {asked!r}, which is code that ragtune never loads.",
                    where=str(file),
                    remedy="Remove that line. Which attention is computed the spec says, as `model.attention`.",
                )


def gguf(where: str, key: str) -> UserError:
    """The error for a file of llama.cpp."""
    return UserError(
        "this is GGUF, which transformers does not train.",
        where=where,
        remedy=f"Serve it, for example with llama-server, and give its address as `model.base_url` in place of `{key}`."
        if key.startswith("model")
        else f"Give the folder or hub id of a model in safetensors as `{key}`.",
    )


def _object(path: Path) -> Mapping[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise UserError("expected a JSON object.", where=str(path), remedy="Copy the file of the model again.")
    return found


def tensors(file: Path) -> tuple[int, dict[str, Any]]:
    """(where the data begins, name -> what the header says of a tensor) of a safetensors file. Raises ValueError or
    struct.error for what is none."""
    with file.open("rb") as opened:
        length = struct.unpack("<Q", opened.read(8))[0]
        if length > file.stat().st_size:
            raise ValueError("the header is longer than the file")
        header = json.loads(opened.read(length))
    return 8 + length, {name: tensor for name, tensor in header.items() if name != "__metadata__"}


def must_fit(name: str, wrong: Mapping[str, Iterable[object]]) -> None:
    """Raises ValueError where weights of a model are `wrong`, what is wrong with them -> their names: it would answer
    with random ones."""
    told = [
        f"{len(keys)} {what}, such as {keys[0]}" for what, found in wrong.items() if (keys := sorted(map(str, found)))
    ]
    if told:
        raise ValueError(f"the weights of {name} do not fit its config.json: {'; '.join(told)}")


def _needed(file: Path) -> int | None:
    """Bytes that a file of weights must have at least; None where it is damaged."""
    if file.suffix == ".safetensors":
        try:
            begin, found = tensors(file)
            return begin + int(max(tensor["data_offsets"][1] for tensor in found.values()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error):
            return None
    with file.open("rb") as opened:
        begins = opened.read(2)
    whole = zipfile.is_zipfile(file) if begins == b"PK" else bool(begins)  # PyTorch once wrote what is no zip
    return len(begins) if whole else None


def _check_weights(file: Path) -> None:
    """Raises UserError for a pointer of Git LFS, and for weights that are cut short."""
    _check_pointer(file, "weights")
    size, needed = file.stat().st_size, _needed(file)
    if needed is None or needed > size:
        wanted = "" if needed is None else f" of {needed:,}"
        raise UserError(
            f"the weights are cut short or damaged: {size:,}{wanted} bytes.",
            where=str(file),
            remedy="Copy or download the file again.",
        )


def _check_index(file: Path) -> None:
    """Raises UserError where the index of sharded weights names a tensor that its shard does not hold."""
    held: dict[str, set[str]] = {}
    for tensor, shard in dict(_object(file).get("weight_map") or {}).items():
        path = file.parent / str(shard)
        if str(shard) not in held:
            held[str(shard)] = set(tensors(path)[1]) if path.is_file() else set()
        if tensor not in held[str(shard)]:
            raise UserError(
                f"it names {tensor!r}, which {shard} does not hold.",
                where=str(file),
                remedy="Copy the shards and their index again.",
            )


def _check_vocabulary(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises UserError where the embeddings are not of as many tokens as the config says."""
    wanted = (config.get("text_config") or config).get("vocab_size")
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in tensors(file)[1].items():
            if name.endswith(("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")):
                rows = (tensor.get("shape") or [wanted])[0]
                if isinstance(wanted, int) and rows != wanted:
                    raise UserError(
                        f"`vocab_size` is {wanted:,}, and {name} has {rows:,} rows.",
                        where=str(folder / "config.json"),
                        remedy="Copy config.json and the weights of one model.",
                    )


def _check_pointer(file: Path, what: str) -> None:
    """Raises UserError for a file that Git LFS left to be fetched."""
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise UserError(
                f"this is a pointer of Git LFS, not the {what}.", where=str(file), remedy="Run `git lfs pull` there."
            )


def _check_modules(file: Path) -> None:
    """sentence-transformers imports and opens what modules.json names: let it be its own, and inside the folder."""
    found = read_json(file)
    if not isinstance(found, list) or not all(isinstance(m, dict) and "type" in m for m in found):
        raise UserError(
            "expected a list of modules, each with its `type`.",
            where=str(file),
            remedy="Copy the file of the model again.",
        )
    _check_paths((m.get("path") for m in found), file)
    foreign = [m["type"] for m in found if not str(m["type"]).startswith("sentence_transformers.")]
    if foreign:
        raise UserError(
            f"the embedder names the foreign module {foreign[0]!r}, which ragtune never imports.", where=str(file)
        )


def _check_own_code(config: Mapping[str, Any], file: Path, what: str) -> None:
    if "auto_map" in config:
        raise UserError(
            f"the {what} needs code of its own (`auto_map`), which ragtune never runs.",
            where=str(file),
            remedy="Use a model whose architecture transformers has.",
        )


@functools.cache
def _is_known(kind: str) -> bool:
    """Whether the transformers that is installed has models of a type: by the text of its tables, for importing them
    takes seconds."""
    found = importlib.util.find_spec("transformers")
    tables = sorted((Path(found.origin).parent / "models" / "auto").glob("*.py")) if found and found.origin else []
    return not tables or any(f'"{kind}"' in path.read_text(encoding="utf-8") for path in tables)


def _check_causal(config: Mapping[str, Any], file: Path) -> None:
    """Raises UserError for what is no causal language model: an encoder, an encoder with a decoder, a vision model; and
    for a type that transformers does not know."""
    kind = config.get("model_type")
    if isinstance(kind, str) and not _is_known(kind):
        raise UserError(
            f"`model_type` is {kind!r}, which this version of transformers does not have.",
            where=str(file),
            remedy="Install a newer transformers, or mend the name.",
        )
    names = [str(name) for name in config.get("architectures") or ()]
    encoder = str(config.get("model_type")) in ENCODERS and not config.get("is_decoder")
    composite = isinstance(config.get("text_config"), dict) and any("ForConditionalGeneration" in n for n in names)
    causal = composite or not names or any(name.endswith(CAUSAL) for name in names)
    paired = config.get("is_encoder_decoder") or str(config.get("model_type")) in PAIRED
    if paired or encoder or not causal:
        found = names[0] if names else str(config.get("model_type"))
        raise UserError(
            f"{found} is no causal language model, and ragtune's prompts need one.",
            where=str(file),
            remedy="Use a model whose `architectures` end in ForCausalLM.",
        )


def _check_tokenizer(folder: Path, config: Mapping[str, Any]) -> None:
    """Raises UserError where there is no tokenizer, no mark for the end of an answer, or a broken chat template."""
    if not any((folder / name).is_file() for name in TOKENIZERS):
        raise UserError(
            "the model has no tokenizer.",
            where=str(folder),
            remedy="Copy tokenizer.json and tokenizer_config.json too.",
        )
    path = folder / "tokenizer_config.json"
    about = _object(path) if path.is_file() else {}
    generation = folder / "generation_config.json"
    ends = (about, config, config.get("text_config") or {}, _object(generation) if generation.is_file() else {})
    if not any(end.get("eos_token") is not None or end.get("eos_token_id") is not None for end in ends):
        raise UserError(
            "the tokenizer names no end token (`eos_token`), so that no answer would end.",
            where=str(path),
            remedy='Add it, such as "eos_token": "</s>".',
        )
    _check_template(folder, about)


def _check_template(folder: Path, about: Mapping[str, Any]) -> None:
    """Raises UserError where a chat template is broken, or the one that prompts are written by cannot write a question
    alone, which each of them has. Others, such as one for tools, may need more than a question."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        _check_pointer(file, "chat template")
    where = str(file if file.is_file() else folder / "tokenizer_config.json")
    template = file.read_text(encoding="utf-8") if file.is_file() else about.get("chat_template")
    named = template if isinstance(template, list) else [{"name": "default", "template": template}]
    several = [entry for entry in named if isinstance(entry, dict) and isinstance(entry.get("template"), str)]
    for entry in sorted(several, key=lambda entry: entry.get("name") == "default"):
        _try_template(entry["template"], about, where, asked=entry.get("name") == "default")


def _try_template(template: str, about: Mapping[str, Any], where: str, *, asked: bool) -> None:
    """Raises UserError for what is no Jinja, and where it is `asked` also for what cannot write a question."""
    import jinja2
    from transformers.utils.chat_template_utils import render_jinja_template  # one second

    question: list[Any] = [[{"role": "user", "content": _MARK}]]
    special: dict[str, Any] = {
        name: token for name, value in about.items() if name.endswith("_token") and (token := _token(value))
    }
    # a template is a program of its own: these are what it raises, and what its expressions may
    faults = (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
    try:
        written: Any = render_jinja_template(
            conversations=question, chat_template=template, add_generation_prompt=True, **special
        )
    except jinja2.TemplateSyntaxError as e:
        raise UserError(
            f"the chat template is no valid Jinja: {e.message}, line {e.lineno}.",
            where=where,
            remedy="Copy the template of the model again.",
        ) from None
    except faults as e:
        if not asked:
            return
        raise UserError(
            f"the chat template cannot write a question: {type(e).__name__}: {e}.",
            where=where,
            remedy="Copy the template of the model again, or use a model that was tuned to be asked.",
        ) from None
    if asked and _MARK not in written[0][0]:
        raise UserError(
            "the chat template drops what the user says.",
            where=where,
            remedy="It is made for another kind of input; use a model that is asked in text.",
        )


def _token(value: object) -> str:
    """A special token as a tokenizer's settings name it: a string, or an object that holds one."""
    found = value.get("content") if isinstance(value, Mapping) else value
    return found if isinstance(found, str) else ""
