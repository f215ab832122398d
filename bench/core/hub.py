"""What a model or dataset name is, exactly: the hash of a local folder, or the commit of a hub id."""

from __future__ import annotations

import os
from pathlib import Path

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import repo_folder_name
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from bench.core import checkpoint
from bench.core.digest import tree_digest
from bench.core.errors import UserError

_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]  # the hub client's own HTTP library, whichever it is


class Unreachable(UserError):
    """A hub id that neither the hub nor its cache here could be asked about."""


def pin(name: str, revision: str | None, *, what: str, key: str) -> str:
    """`sha256:...` of a local folder, `hub:id@commit` of a hub id. Raises UserError where there is neither."""
    examine(name, what=what, key=key)
    if Path(name).is_dir():
        return f"sha256:{tree_digest(Path(name))}"
    return f"hub:{name}@{commit(name, revision, what=what, key=key)}"


def examine(name: str, *, what: str, key: str) -> None:
    """Raises UserError for a folder that holds no such model, and for what is no folder and cannot be a hub id."""
    folder = Path(name)
    if folder.is_dir():
        checkpoint.check(folder, what=what, key=key)
    elif folder.suffix.lower() == ".gguf":
        raise checkpoint.gguf(name, key)
    else:
        _check_id(name, key)


def _check_id(name: str, key: str) -> None:
    """Raises UserError for what the hub can have no model or dataset of."""
    if not _may_be_an_id(name):
        raise UserError(
            f"{name!r} is no folder here, and cannot be a hub id.",
            where=key,
            remedy="A hub id is written as owner/name; a path starts at the spec's folder.",
        )


def _may_be_an_id(name: str) -> bool:
    """Whether the hub could have a model or dataset of that name."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def local(name: str, revision: str | None) -> Path | None:
    """The folder of a model: itself, or where the hub's cache has it; None where it is not there yet, or is none."""
    if Path(name).is_dir():
        return Path(name)
    if not revision or not _may_be_an_id(name):
        return None
    found = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots" / revision
    return found if found.is_dir() else None


def checked(name: str, revision: str | None, *, what: str) -> None:
    """Check what the configs of a folder or hub id would make loading do, before its weights are fetched. Raises
    UserError, and OSError for a name that neither the disk nor the hub has."""
    known = Path(name).is_dir()
    found = name if known else snapshot_download(name, revision=revision, allow_patterns=["*.json", "*.jinja"])
    checkpoint.check_configs(Path(found), what)


def commit(name: str, revision: str | None, *, what: str, key: str) -> str:
    """The commit that a revision of a hub id stands for: asked of the hub, else of the local cache."""
    kind = "dataset" if what == "dataset" else "model"
    _check_id(name, key)
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
        answered = isinstance(e, RepositoryNotFoundError | RevisionNotFoundError | GatedRepoError)
        raise (UserError if answered else Unreachable)(
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
