"""The part of a spec's dataset block that every format shares, and the identity of what it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from bench.core.blocks import Block, PositiveInt, Share
from bench.core.digest import file_digest, tree_digest
from bench.core.errors import UserError
from bench.core.normalisation import Language
from bench.core.vocabulary import JSON


class Source(Block):
    """What every format has. A source without a training split is split by group, never by question."""

    path_keys: ClassVar[tuple[str, ...]] = ("path",)  # keys that name a file or folder
    folder_or_id_keys: ClassVar[tuple[str, ...]] = ()  # keys that name a folder where there is one, or else a hub id
    may_be_embedded: ClassVar[bool] = False  # whether `path` may be the name of a dataset inside ragtune

    seed: int = Field(0, description="Seed of the split, and of the choice under max_test.")
    test_share: Share = Field(
        0.5,
        description="Share of the groups to test on, where there is no training split. All of a native folder and of a "
        "file that is named test, unless this is set.",
    )
    dev_share: Share = Field(0.0, description="Share of the training groups, where the source has no dev split.")
    language: Language = Field("en", description="Language of the answers: how they are normalised before comparison.")
    max_test: PositiveInt | None = None
    max_train: PositiveInt | None = None

    @property
    def may_train_on_test(self) -> bool:
        """Whether its questions may be split for training: when asked, or where nothing says that they are a test."""
        return "test_share" in self.model_fields_set or not self.is_a_test

    @property
    def is_a_test(self) -> bool:
        """Whether the questions stand in what is named a test."""
        return named_test(str(getattr(self, "questions", None) or getattr(self, "path", "")))


def named_test(path: str) -> bool:
    """Whether a file is named a test, or the folder that it lies in: my-test.json, testset.csv, test/a.csv."""
    words = re.split(r"[^a-z]+", Path(path).stem.lower())
    return any(word in TESTS for word in words) or Path(path).parent.name.lower() in TESTS


def _to_train_on(path: str | None) -> str | None:
    """Raises ValueError for a path that is named a test."""
    if path and named_test(path):
        raise ValueError(f"{path!r} is named a test, and nothing of it is trained on: give it as `path`, or rename it")
    return path


TrainPath = Annotated[str | None, AfterValidator(_to_train_on)]
TESTS = ("test", "tests", "testset", "testdata", "testing")


def file_fingerprint(source: Source) -> dict[str, JSON]:
    """sha256 of every file or folder that the source names. Raises UserError where one is missing."""
    keys = (*source.path_keys, *source.folder_or_id_keys)
    named = {key: value for key in keys if isinstance(value := getattr(source, key), str)}
    found: dict[str, JSON] = {}
    for key, value in named.items():
        path = Path(value)
        if not path.exists():
            raise UserError(
                "no such file or folder.",
                where=value,
                remedy=f"Mend `dataset.{key}`; relative paths start at the spec's folder.",
            )
        found[key] = tree_digest(path) if path.is_dir() else file_digest(path)
    return found
