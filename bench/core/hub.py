"""What a model or dataset name is, exactly: the hash of a local folder, or the commit of a hub id."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import repo_folder_name

from bench.core.digest import tree_digest
from bench.core.errors import UserError
from bench.core.files import read_json

_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]  # the hub client's own HTTP library, whichever it is
WEIGHTS = ("*.safetensors", "*.bin", "*.pt")


def pin(name: str, revision: str | None, *, what: str, key: str) -> str:
    """`sha256:...` of a local folder, `hub:id@commit` of a hub id. Raises UserError where there is neither."""
    folder = Path(name)
    if folder.is_dir():
        _check_folder(folder, what=what, key=key)
        return f"sha256:{tree_digest(folder)}"
    return f"hub:{name}@{commit(name, revision, what=what, key=key)}"


def _check_folder(folder: Path, *, what: str, key: str) -> None:
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise UserError(
            f"the {what} folder has no config.json.",
            where=str(folder),
            remedy=f"Mend `{key}`: it takes what save_pretrained wrote.",
        )
    if not any(p for pattern in WEIGHTS for p in folder.rglob(pattern)):
        raise UserError(
            f"the {what} folder has no weights.",
            where=str(folder),
            remedy="Copy its model.safetensors beside config.json.",
        )
    if (folder / "modules.json").is_file():
        _check_modules(folder / "modules.json")
    config = folder / "config.json"
    if config.is_file() and '"auto_map"' in config.read_text(encoding="utf-8"):
        raise UserError(
            f"the {what} needs code of its own (`auto_map`), which ragtune never runs.",
            where=str(config),
            remedy="Use a model whose architecture transformers has.",
        )


def _check_modules(file: Path) -> None:
    """sentence-transformers imports what modules.json names: let it be its own."""
    foreign = [m["type"] for m in read_json(file) if not str(m["type"]).startswith("sentence_transformers.")]
    if foreign:
        raise UserError(
            f"the embedder names the foreign module {foreign[0]!r}, which ragtune never imports.", where=str(file)
        )


def commit(name: str, revision: str | None, *, what: str, key: str) -> str:
    """The commit that a revision of a hub id stands for: asked of the hub, else of the local cache."""
    kind = "dataset" if what == "dataset" else "model"
    try:
        api = HfApi()
        info = (
            api.dataset_info(name, revision=revision, timeout=10)
            if kind == "dataset"
            else api.model_info(name, revision=revision, timeout=10)
        )
        return str(info.sha)
    except (OSError, ValueError, _HTTP_ERROR) as e:
        cached = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind)
        ref = cached / "refs" / (revision or "main")
        if ref.is_file():
            return ref.read_text().strip()
        if revision and (cached / "snapshots" / revision).is_dir():
            return revision
        reason = "offline mode is on" if os.environ.get("HF_HUB_OFFLINE") else type(e).__name__
        raise UserError(
            f"{what} {name!r} is no local folder, and the hub did not give it ({reason}).",
            where=key,
            remedy="Check the name and the network, or give a local folder.",
        ) from e


def reachable() -> bool:
    """Whether the hub answers within five seconds."""
    try:
        HfApi().model_info("hf-internal-testing/tiny-random-gpt2", timeout=5)
    except (OSError, ValueError, _HTTP_ERROR):
        return False
    return True
