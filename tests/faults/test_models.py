"""Folders of models that would make loading reach elsewhere, run code, or read what nobody hashed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench.core import hub
from bench.core.blocks import Model
from bench.core.digest import tree_digest
from bench.core.errors import UserError
from tests.conftest import EMBEDDER, MICRO


def test_a_model_behind_links_is_known_by_what_it_holds(tmp_path: Path) -> None:
    """Hub caches hold a model as links to files and folders elsewhere."""
    shutil.copytree(EMBEDDER, tmp_path / "blobs")
    (tmp_path / "model").mkdir()
    for path in (tmp_path / "blobs").iterdir():
        (tmp_path / "model" / path.name).symlink_to(path, target_is_directory=path.is_dir())
    (tmp_path / "blobs" / "1_Normalize" / "config.json").write_text("{}")
    before = tree_digest(tmp_path / "model")
    (tmp_path / "blobs" / "1_Normalize" / "config.json").write_text('{"a": 1}')
    assert tree_digest(tmp_path / "model") != before
    (tmp_path / "model" / "round").symlink_to(tmp_path / "model")
    with pytest.raises(OSError, match="stands in"):
        tree_digest(tmp_path / "model")


@pytest.mark.parametrize(
    ("file", "holds", "said"),
    [
        ("model.safetensors.index.json", {"weight_map": {"w": "../other/model.safetensors"}}, "no path inside"),
        ("modules.json", [{"path": "/etc", "type": "sentence_transformers.models.Normalize"}], "no path inside"),
        ("adapter_config.json", {"base_model_name_or_path": "someone/else"}, "is an adapter of 'someone/else'"),
        ("1_Normalize/adapter_config.json", {"base_model_name_or_path": "a/b"}, "is an adapter of 'a/b'"),
        ("model.safetensors.index.json", {"weight_map": {"w": ".s/model.safetensors"}}, "no path inside"),
        ("1_Normalize/x.index.json", {"weight_map": {"w": "../../x"}}, "no path inside"),
        ("modules.json", [{"path": ".enc", "type": "sentence_transformers.models.Normalize"}], "no path inside"),
        ("modules.json", {}, "expected a list of modules"),
        ("modules.json", [{"path": "1_Normalize"}], "expected a list of modules"),
        ("model.safetensors.index.json", {"weight_map": 5}, "folder is damaged: TypeError"),
        ("config.json", {"attn_implementation": "evil/kernel"}, "code that ragtune never loads"),
        ("1_Normalize/config.json", {"_attn_implementation": "evil/kernel"}, "code that ragtune never loads"),
        ("config.json", {"text_config": {"_attn_implementation": "evil/kernel"}}, "code that ragtune never loads"),
    ],
)
def test_loading_reaches_nothing_outside_the_folder(tmp_path: Path, file: str, holds: object, said: str) -> None:
    shutil.copytree(EMBEDDER, tmp_path / "m")
    (tmp_path / "m" / file).write_text(json.dumps(holds))
    with pytest.raises(UserError, match=said):
        hub.pin(str(tmp_path / "m"), None, what="embedder", key="embedder.name")


def test_a_hub_id_is_checked_before_its_weights_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    hub.checked("some/model", "abc", what="reranker")
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "own.Model"}}))
    with pytest.raises(UserError, match="needs code of its own"):
        hub.checked("some/model", "abc", what="reranker")


def test_which_attention_is_computed_the_spec_says(tmp_path: Path) -> None:
    from systems.parts import lm

    shutil.copytree(MICRO, tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "_attn_implementation": "eager"}))
    found = {
        asked: lm.load(Model(name=str(tmp_path / "m"), attention=asked), precision="native")[0].config
        for asked in ("auto", "eager", "sdpa")
    }
    assert {asked: c._attn_implementation for asked, c in found.items()} == {
        "auto": "sdpa",
        "eager": "eager",
        "sdpa": "sdpa",
    }


@pytest.mark.parametrize("holds", ['{"a":' + "[" * 100_000, '{"architectures": 5}'])
def test_a_damaged_model_is_one_line(tmp_path: Path, holds: str) -> None:
    shutil.copytree(MICRO, tmp_path / "m")
    if "architectures" in holds:
        config = json.loads((tmp_path / "m" / "config.json").read_text())
        (tmp_path / "m" / "config.json").write_text(json.dumps({**config, **json.loads(holds)}))
    else:
        header = holds.encode()
        (tmp_path / "m" / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match=r"damaged|no causal"):
        hub.pin(str(tmp_path / "m"), None, what="base model", key="model.name")
