"""The blocks of configuration that kinds of system share: the model, its prompt, retrieval, tuning.

Nothing here touches a disk, a device or the environment.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bench.core.vocabulary import JSON

Precision = Literal["native", "nf4"]
Variant = Literal["lora", "rslora", "dora", "pissa", "loftq"]  # of an adapter, as PEFT names them
Serving = Literal["adapter", "merged", "merged_nf4"]
Position = Literal["shuffled", "first", "middle", "last"]  # of the gold passages in a prompt
PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Shape = Literal["tiny", "100m", "qwen2.5-0.5b", "phi3-mini", "llama3.1-8b", "llama3-70b"]


def _is_number(annotation: Any) -> bool:
    """Whether a field takes numbers and neither truth values nor everything."""
    kinds = {annotation, *get_args(annotation)}
    kinds |= {inner for kind in kinds for inner in get_args(kind)}
    return bool({int, float} & kinds) and not {bool, Any} & kinds


class Block(BaseModel):
    """A frozen part of a spec that refuses what it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, data: Any) -> Any:
        """`k: yes` is no number, and pydantic would take it for 1."""
        for key, value in data.items() if isinstance(data, Mapping) else ():
            if isinstance(value, bool) and key in cls.model_fields and _is_number(cls.model_fields[key].annotation):
                raise ValueError(f"`{key}` is a number, and {str(value).lower()} is none")
        return data

    @classmethod
    def shared(cls, written: Mapping[str, JSON]) -> Self:
        """This block of a configuration. A kind of the user's own may extend it: keys beyond it are passed over."""
        return cls.model_validate({key: value for key, value in written.items() if key in cls.model_fields})

    def recorded(self, *later: str, exclude: Mapping[str, Any] | None = None) -> dict[str, JSON]:
        """Its JSON for the recipe of an artefact. Keys that came `later`, which an older ragtune did not have, are left
        out where they are as they were: what it built is found again."""
        told = self.model_dump(mode="json", exclude=dict(exclude) if exclude else None)
        return {k: v for k, v in told.items() if k not in later or v != type(self).model_fields[k].default}


def checked_url(url: str) -> str:
    """The address of an endpoint. Raises ValueError where it is none, or holds what could be a secret."""
    parts = urlsplit(url)
    try:
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535
        whole = False
    if not whole:
        raise ValueError("`base_url` is an address such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query:
        raise ValueError("`base_url` must hold no user, password or query; name the key's variable in `api_key_env`")
    return url


class Model(Block):
    """The base language model: `micro`, a local folder, a hub id, or a name that an endpoint serves."""

    name: str = ""
    shape: Shape | None = Field(None, description="Instead of a name: a published model size with random weights.")
    revision: str | None = Field(None, description="Hub revision; resolved to a commit and recorded.")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gpus: PositiveInt = Field(
        1, description="GPUs that the model is spread over, layer by layer, where one cannot hold it."
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="How attention is computed; auto: as transformers chooses for the architecture."
    )
    base_url: str | None = Field(None, description="OpenAI-compatible endpoint, such as http://localhost:8000/v1.")
    api: Literal["chat", "completions"] = Field(
        "chat", description="What is asked of the endpoint: /chat/completions, or /completions with the prompt as text."
    )
    api_key_env: str | None = Field(None, description="Environment variable that holds the endpoint's key.")
    timeout_s: float = Field(60.0, gt=0, description="Time limit of one endpoint request, in seconds.")
    digest: str | None = Field(None, description="Filled by the run: sha256 of the weights, or the hub commit.")

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """Exactly one of name and shape; a shape's name says what it is."""
        if isinstance(data, dict) and data.get("shape"):
            if data.get("name") and not str(data["name"]).startswith("shape:"):
                raise ValueError("give `name` or `shape`, not both")
            return data | {"name": f"shape:{data['shape']}"}
        if isinstance(data, dict) and not data.get("name"):
            raise ValueError("give `name`: micro, a local folder or a hub id; or `shape`")
        return data

    @model_validator(mode="after")
    def _no_secret(self) -> Model:
        """A spec is published; a key in it would be too."""
        if self.base_url is not None:
            checked_url(self.base_url)
        return self

    @model_validator(mode="after")
    def _spread(self) -> Model:
        if self.shape and self.gpus > 1:
            raise ValueError("a model of random weights (`shape`) is made on one GPU: leave `gpus` out")
        return self


class EmbedderTuning(Block):
    """How an embedder is tuned on the training questions and their gold passages, with one hard negative each."""

    epochs: PositiveInt = 1
    batch_size: PositiveInt = Field(32, description="The other passages of a batch are negatives too.")
    learning_rate: float = Field(2e-5, gt=0)
    warmup: Share = 0.1
    lora_rank: int = Field(
        0, ge=0, description="Rank of an adapter that is merged afterwards; 0: all weights are tuned."
    )


class Embedder(Block):
    """A sentence-transformers model: `micro`, a local folder or a hub id."""

    name: str = "micro"
    revision: str | None = None
    batch_size: PositiveInt = 64
    query_prefix: str = Field("", description="Put before each question, for embedders trained with one.")
    passage_prefix: str = ""
    precision: Literal["native", "int8"] = Field(
        "native",
        description="int8: linear layers in 8 bits, about twice as fast on a processor, with other vectors; the page "
        "says so. For transformers on a processor alone.",
    )
    tuned: EmbedderTuning | None = Field(None, description="Tune it on the training split first; charged to the build.")
    digest: str | None = None


class Prompt(Block):
    """What the model reads. Rendered through the model's chat template where it has one."""

    system: str = "Answer with a short phrase and nothing else. If the answer is not known, say unknown."
    passage: str = Field("[{n}] {text}\n", description="Template of one passage: {n}, {title}, {text}.")
    open_book: str = Field("{passages}\nQuestion: {question}", description="Template of a prompt with passages.")
    closed_book: str = Field("Question: {question}", description="Template of a prompt without passages.")
    choices: str = Field(
        "\nAnswer with one of: {choices}.", description="Added to the prompt where the answers are a closed set."
    )
    abstain: tuple[str, ...] = Field(
        ("unknown", "i don't know", "unanswerable"), description="Phrases that count as abstaining."
    )

    @model_validator(mode="after")
    def _fields(self) -> Prompt:
        for field, needed in (
            ("passage", "{text}"),
            ("open_book", "{passages}"),
            ("open_book", "{question}"),
            ("closed_book", "{question}"),
            ("choices", "{choices}"),
        ):
            if needed not in getattr(self, field):
                raise ValueError(f"`{field}` must contain {needed}")
        return self


class Generation(Block):
    """Greedy decoding: the same answer to the same prompt."""

    max_new_tokens: PositiveInt = 32
    batch_size: PositiveInt = 16


class Chunking(Block):
    """How passages are cut for the index."""

    by: Literal["length", "characters", "tokens", "sentences", "headings", "semantic"] = Field(
        "length",
        description="Where cuts may be: at paragraphs, lines and words (`characters` and `tokens` say the unit too); "
        "at ends of sentences; at Markdown headings; or where the meaning of two neighbouring sentences is farthest "
        "apart, by the embedder. Pieces beyond `size` are cut.",
    )
    contextual: bool = Field(
        False,
        description="Put the Markdown headings above a chunk into its title, which is embedded and reranked with it, "
        "and stands before it in the prompt.",
    )
    unit: Literal["characters", "tokens"] = Field(
        "characters", description="What lengths count; tokens: the embedder's."
    )
    size: PositiveInt = 800
    overlap: Annotated[int, Field(ge=0)] = 100

    @model_validator(mode="before")
    @classmethod
    def _counted(cls, data: Any) -> Any:
        """`by: characters` and `by: tokens` are cuts by length that say their unit."""
        if isinstance(data, dict) and data.get("by") in ("characters", "tokens"):
            return {"unit": data["by"], **data, "by": "length"}
        return data

    @model_validator(mode="after")
    def _smaller(self) -> Chunking:
        if self.overlap >= self.size:
            raise ValueError(f"overlap {self.overlap} must be smaller than size {self.size}")
        return self


class IVF(Block):
    """Parameters of an inverted file index."""

    nlist: PositiveInt | None = Field(None, description="Number of cells; unset: 4 sqrt(n), at most n / 39.")
    nprobe: PositiveInt = 8


class HNSW(Block):
    """Parameters of an HNSW graph."""

    m: PositiveInt = 16
    ef_construction: PositiveInt = 200
    ef_search: PositiveInt = 64


class Reranker(Block):
    """A cross-encoder that reorders the first `candidates` hits."""

    name: str
    revision: str | None = None
    candidates: PositiveInt = 20
    digest: str | None = None


class Retrieval(Block):
    """How passages are found."""

    index: str = Field("faiss_flat", description="Vector index: the name of a module in systems/parts/index/.")
    mode: Literal["dense", "bm25", "fused"] = "dense"
    k: PositiveInt = 4
    hops: PositiveInt = Field(
        1,
        description="Number of look-ups. After the first, the names in the best passage found are added to the "
        "question, and each look-up gives an equal share of the k passages.",
    )
    ivf: IVF = IVF()
    hnsw: HNSW = HNSW()
    build_threads: PositiveInt = Field(
        1,
        description="Threads that build the index. On one it is the same each time; on more it is built sooner, and "
        "a graph is not the same.",
    )
    rrf_k: PositiveInt = Field(60, description="The constant of reciprocal rank fusion (Cormack et al. 2009).")
    chunking: Chunking | Literal["auto"] | None = Field(
        "auto",
        description="How passages are cut into chunks; null: each is one chunk. auto: one chunk, or where a passage "
        "exceeds the embedder's window, chunks of that many tokens.",
    )
    reranker: Reranker | None = None
    rewrite: Literal["none", "hyde", "multi_query"] = Field(
        "none",
        description="What is looked up: the question; with hyde also a passage that the system's model writes as its "
        "answer (Gao et al. 2212.10496); with multi_query also its own wordings of the question, the rankings fused.",
    )

    @model_validator(mode="after")
    def _a_passage_a_hop(self) -> Retrieval:
        if self.hops > self.k:
            raise ValueError(f"{self.hops} hops share k = {self.k} passages: put k to {self.hops} or more")
        return self

    @property
    def cut(self) -> Chunking | None:
        """How passages are cut; None: not at all."""
        return self.chunking if isinstance(self.chunking, Chunking) else None

    @property
    def is_contextual(self) -> bool:
        """Whether chunks are read with the headings above them."""
        return self.cut is not None and self.cut.contextual


class Search(Block):
    """Hyperparameter search on dev. Every tuned system of a spec gets the same trials, charged to its cost."""

    trials: PositiveInt = 4
    learning_rate: tuple[Annotated[float, Field(gt=0)], ...] = ()
    rank: tuple[PositiveInt, ...] = ()
    epochs: tuple[PositiveInt, ...] = ()

    @property
    def grid(self) -> list[dict[str, float | int]]:
        """Every combination of the values given; at least one, which changes nothing."""
        axes = {k: getattr(self, k) for k in ("learning_rate", "rank", "epochs") if getattr(self, k)}
        return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]

    @property
    def count(self) -> int:
        """Trials that are run: no more than there are combinations."""
        return min(self.trials, len(self.grid))


class Replay(Block):
    """Exercises of another kind that are rehearsed beside the training questions, so that less of what the model could
    do before is forgotten (Scialom et al. 2205.12393)."""

    path: str = Field(description="JSON lines, each with a `prompt` as the model reads it and the `answer`.")
    share: float = Field(0.2, gt=0, lt=1, description="Of all that is trained on; drawn by the seed.")
    digest: str | None = None


class Tuning(Block):
    """How a model is tuned."""

    rank: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Share = 0.0
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    variant: Variant = Field(
        "lora",
        description="Kind of adapter: lora (2106.09685), rslora (2312.03732), dora (2402.09353), pissa (2404.02948), "
        "or loftq (2310.08659), which starts from 4-bit weights. Rates and ranks are searched for each on its own.",
    )
    modules_to_save: tuple[str, ...] = Field((), description="Modules that are trained whole beside the adapter.")
    init: Literal["default", "gaussian", "orthogonal"] = Field(
        "default", description="How the first adapter is drawn, as PEFT's `init_lora_weights`."
    )
    layers: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="Layers that are adapted; empty: all.")
    layers_pattern: str = Field("", description="Name of the model's list of layers, where PEFT does not know it.")
    epochs: PositiveInt = 3
    examples: PositiveInt | None = Field(
        None, description="Number of training questions, drawn by the seed; unset: all."
    )
    max_steps: PositiveInt | None = None
    batch_size: PositiveInt = 8
    gradient_accumulation: PositiveInt = 1
    learning_rate: float = Field(2e-4, gt=0)
    full_learning_rate: float | None = Field(
        None, gt=0, description="Learning rate of full fine-tuning; unset: learning_rate / 10."
    )
    warmup: Share = 0.03
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    gradient_checkpointing: bool = False
    optimiser: Literal["adamw", "paged_adamw_32bit", "adamw_8bit", "paged_adamw_8bit"] = Field(
        "adamw", description="The same for every arm. A paged one keeps its state where torch's peak does not see it."
    )
    upcast: bool = Field(
        False,
        description="On 4-bit weights: norms, embeddings and head in float32, as in the recipe of QLoRA's authors. "
        "Without it LoRA and QLoRA differ in the precision of the base alone.",
    )
    passages: bool = Field(False, description="Train on the corpus too (continued pre-training).")
    paraphrases: bool = Field(
        False, description="Train on paraphrases.jsonl too, which says the passages in other words."
    )
    replay: Replay | None = Field(None, description="Exercises to rehearse, against forgetting.")
    early_stopping: PositiveInt | None = Field(None, description="Epochs without a better dev loss before stopping.")
    processes: PositiveInt = Field(
        1, description="Processes that train together, a GPU each. `batch_size` is of all of them."
    )
    sharded: bool = Field(
        False, description="With several processes: each holds a part of the weights (FSDP), not the whole model."
    )
    search: Search | None = None

    @model_validator(mode="after")
    def _whole_shares(self) -> Tuning:
        if self.batch_size % self.processes:
            raise ValueError(
                f"`batch_size: {self.batch_size}` cannot be divided among `processes: {self.processes}`: "
                "give a multiple"
            )
        if self.init != "default" and self.variant not in ("lora", "rslora", "dora"):
            raise ValueError(f"`variant: {self.variant}` is a way to begin itself: leave `init` out")
        if self.variant == "pissa" and self.modules_to_save:
            raise ValueError("`variant: pissa` is saved as the difference from the base: leave `modules_to_save` out")
        if self.layers_pattern and not self.layers:
            raise ValueError("`layers_pattern` names the list that `layers` counts in: give both")
        if self.sharded and self.processes == 1:
            raise ValueError("`sharded` needs `processes` of at least 2: one process holds the whole model")
        return self


class Raft(Block):
    """RAFT (Zhang et al. 2403.10131): training prompts hold the gold passage among retrieved distractors."""

    distractors: Annotated[int, Field(ge=0)] = 3
    keep_gold: Share = Field(0.8, description="Share of training prompts that keep the gold passage.")
    closed_book: Share = Field(0.0, description="Share of the training questions that are shown without passages.")
    embedder: Embedder | None = Field(None, description="Filled from the system that is trained.")
    retrieval: Retrieval | None = Field(None, description="Filled from the system that is trained.")
