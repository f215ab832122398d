"""Datasets of the Hugging Face hub, or local folders that its `datasets` library reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from bench.core.errors import UserError
from bench.core.vocabulary import JSON
from bench.data.field_mapping import Fields, Row, mapped
from bench.data.row import as_json
from bench.data.source import Source, file_fingerprint
from bench.data.task import Task


class Hub(Source):
    """A Hugging Face dataset, by hub id or local folder, read by the `datasets` library."""

    path_keys: ClassVar[tuple[str, ...]] = ()
    folder_or_id_keys: ClassVar[tuple[str, ...]] = ("id",)

    format: Literal["hub"]
    id: str
    config: str | None = None
    revision: str | None = None
    test_split: str = "test"
    train_split: str | None = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = ()

    @property
    def is_a_test(self) -> bool:
        """Whether the split is named a test."""
        return "test" in self.test_split.lower()


def fingerprint(source: Hub) -> dict[str, JSON]:
    """sha256 of a local folder, or the commit of a hub dataset. Raises UserError where there is neither."""
    if Path(source.id).is_dir():
        return file_fingerprint(source)
    from bench.core.hub import commit

    return {"hub": source.id, "revision": commit(source.id, source.revision, what="dataset", key="dataset.id")}


def read(source: Hub, origin: JSON) -> Task:
    """The dataset at the commit of its fingerprint. Raises UserError where it does not load."""
    pinned = source.model_copy(update={"revision": origin.get("revision")})
    test, train = _rows(pinned, source.test_split), _rows(pinned, source.train_split)
    return mapped(source.id, test, train, source.fields, source.choices)


def _rows(source: Hub, split: str | None) -> list[Row]:
    import datasets  # Hugging Face's; mypy takes our data folder for it

    if split is None:
        return []
    from datasets.exceptions import DatasetsError

    try:
        table = datasets.load_dataset(  # type: ignore[attr-defined]
            source.id, source.config, split=split, revision=source.revision
        )
    except (OSError, ValueError, DatasetsError) as e:
        raise UserError(
            f"dataset {source.id!r}, split {split!r}, did not load: {e}",
            remedy="Check the id, the split and the network, or give a local folder.",
        ) from e
    classes = datasets.ClassLabel  # type: ignore[attr-defined]
    labels = {key: of for key, of in table.features.items() if isinstance(of, classes)}
    rows = (as_json(row) | {key: _label(of, row[key]) for key, of in labels.items()} for row in table)
    return [(f"{source.id}[{split}][{n}]", f"{split}-{n}", row) for n, row in enumerate(rows)]


def _label(of: Any, number: int | None) -> str | None:
    """The name of a class, which the file holds by its number; None where it has none, as in a test without labels."""
    return None if number is None or number < 0 else str(of.int2str(number))
