"""The dataset block of a spec: where a task comes from, a model for each format."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bench.system import Block, Chunking, PositiveInt, Share


class Dataset(Block):
    """What every source has. A source without a training split is split by group, never by question."""

    seed: int = Field(0, description="Of the split, and of the choice under max_test.")
    test_share: Share = 0.5
    dev_share: Share = Field(0.0, description="Of the training groups, where the source has no dev split.")
    max_test: PositiveInt | None = None
    max_train: PositiveInt | None = None


class Native(Dataset):
    """A folder of corpus.jsonl, train.jsonl, test.jsonl and optional dev.jsonl and updates.jsonl."""

    format: Literal["native"] = "native"
    path: str = Field(description="The folder, or the name of an embedded dataset.")


class Squad(Dataset):
    """SQuAD v1 or v2 JSON. Passages are paragraphs, groups are articles."""

    format: Literal["squad"]
    path: str
    train_path: str | None = None


class Fields(Block):
    """Which field of a record means what. Dots reach into nested objects."""

    id: str | None = Field(None, description="Unset: the key of an object of records, or the record's number.")
    question: str = "question"
    answers: str = Field("answers", description="A string or a list; missing or empty: unanswerable.")
    passages: str | None = Field(None, description="A string or a list of strings: the gold passages.")
    group: str | None = Field(None, description="Unset: records that share a passage are one group.")
    stratum: str | None = None


class Records(Dataset):
    """JSON, JSONL, CSV or Parquet records with a field mapping."""

    format: Literal["records"]
    path: str
    train_path: str | None = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = Field((), description="The closed set of answers, if it is one.")
    test_ids: str | None = Field(None, description="JSON list, or object keyed by id, of the test questions.")


class Hub(Dataset):
    """A Hugging Face dataset, by hub id or local folder, read by the `datasets` library."""

    format: Literal["hub"]
    id: str
    config: str | None = None
    revision: str | None = None
    test_split: str = "test"
    train_split: str | None = None
    fields: Fields = Fields()
    choices: tuple[str, ...] = ()


class Beir(Dataset):
    """A BEIR folder: corpus.jsonl, queries.jsonl, qrels/*.tsv. It has no reference answers."""

    format: Literal["beir"]
    path: str


class Documents(Dataset):
    """A folder of txt, md, html and pdf files, and a JSONL of questions with `document` and `start`, `end` or `quote`."""

    format: Literal["documents"]
    path: str
    questions: str
    chunking: Chunking = Chunking()


AnyDataset = Annotated[Native | Squad | Records | Hub | Beir | Documents, Field(discriminator="format")]
