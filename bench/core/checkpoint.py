"""What is wrong with a folder that should hold a model, told before anything runs. Only headers of weights are read."""

from __future__ import annotations

import contextlib
import json
import struct
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.core.architectures import check_causal
from bench.core.errors import UserError
from bench.core.files import read_json
from bench.core.model_files import check_pointer, read_object
from bench.core.tokenizer import TOKENIZERS, check_tokenizer

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # what is loaded, beside the shards that an index names
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")  # of transformers itself


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
            _check_own_code(read_object(folder / "config.json"), folder / "config.json", what)


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
            check_pointer(folder / name, "file")
    check_configs(folder, what)
    for file in weights:
        _check_weights(file)
    for file in sorted(folder.glob("*.safetensors.index.json")):
        _check_index(file)
    if what != "base model":
        _check_has_tokenizer(folder, what)
    elif (folder / "config.json").is_file():
        config = read_object(folder / "config.json")
        check_causal(config, folder / "config.json")
        _check_vocabulary(folder, config)
        check_tokenizer(folder, config)


def _check_has_tokenizer(folder: Path, what: str) -> None:
    """Raises UserError where a module of sentence-transformers that needs a tokenizer has none."""
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else [{"path": ""}]
    first = modules[0] if isinstance(modules, list) and modules and isinstance(modules[0], dict) else {}
    if not str(first.get("type", "Transformer")).endswith(("Transformer", "StaticEmbedding")):
        return
    inside = folder / str(first.get("path") or "")
    if not any((inside / name).is_file() for name in TOKENIZERS):
        raise UserError(
            f"the {what} folder has no tokenizer.",
            where=str(inside),
            remedy="Copy the model again from where it was published, its tokenizer too.",
        )


def _shards(folder: Path) -> Iterator[Path]:
    """The safetensors files that the indexes of sharded weights name."""
    for index in folder.rglob("*.index.json"):
        named = {index.parent / str(name) for name in dict(read_object(index).get("weight_map") or {}).values()}
        yield from (file for file in named if file.suffix == ".safetensors" and file.is_file())


def _check_inside(folder: Path, what: str) -> None:
    """Raises UserError for what makes loading reach outside the folder: an adapter's base, or a path that leaves it."""
    for file in sorted(folder.rglob("adapter_config.json")):
        base = read_object(file).get("base_model_name_or_path")
        raise UserError(
            f"the {what} folder is an adapter of {base!r}, and not a model.",
            where=str(file),
            remedy="Give the folder of the merged model.",
        )
    for file in sorted(folder.rglob("*.index.json")):
        _check_paths(dict(read_object(file).get("weight_map") or {}).values(), file)
    for file in sorted(folder.rglob("config.json")):
        _check_attention(read_object(file), file)


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
    check_pointer(file, "weights")
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
    for tensor, shard in dict(read_object(file).get("weight_map") or {}).items():
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
