"""Training, dev and test pairs from one's own documents: drafted by a model, checked by a round trip, reviewed by a
person. What a model said is kept as it comes, so that a stopped run goes on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scipy.cluster.hierarchy import DisjointSet

from bench.core.blocks import Chunking, Model, Prompt
from bench.core.errors import UserError
from bench.core.vocabulary import JSON, Example, Passage, Place, Question
from bench.data import drafts
from bench.data.drafts import Draft
from bench.data.formats import documents, native
from bench.execution import review
from bench.execution.asker import NEAREST, PLAIN, Asker, Tell

SAID = "said.jsonl"
WORD_TOKENS = 1.5
FAILED = "the model did not answer"
MICRO = Prompt(system="", passage="{text}\n", open_book="{passages}\n{question}", closed_book="{question}")


@dataclass(frozen=True)
class Made:
    """What came of it: pairs by kind, and drafts that were dropped by reason."""

    folder: Path
    kept: Mapping[str, int]
    dropped: Mapping[str, int]


def corpus_of(path: Path, size: int) -> tuple[tuple[Passage, ...], list[str]]:
    """(passages, what was left out): of a native folder its corpus, of other folders the documents, cut. Raises
    UserError."""
    if (path / "corpus.jsonl").exists():
        return native.read_passages(path / "corpus.jsonl"), []
    if not path.is_dir():
        raise UserError("no such folder.", where=str(path), remedy="Give a folder of documents, or a native folder.")
    chunks, notes = documents.read_chunks(path, Chunking(size=size, overlap=0))
    return tuple(passage for rows in chunks.values() for _, passage in rows), notes


def planned(
    corpus: Sequence[Passage], *, prompt_usd: float | None = None, completion_usd: float | None = None
) -> dict[str, JSON]:
    """Requests at most, tokens and money roughly, before anything is asked. Prices are of a million tokens."""
    asked = list(drafts.requests(corpus))
    words = sum(len(request.text.split()) for request in asked)
    shown = sum(len(p.text.split()) for request in asked for p in request.passages)
    others = math.ceil(len(asked) / drafts.OTHER_WORDS_EVERY)  # each reworded, and checked twice
    share = others / max(1, len(asked))
    both = [request for request in asked if request.kind == "multi"]  # and of these each passage by itself
    parts = 2 * (len(both) + math.ceil(len(both) / drafts.OTHER_WORDS_EVERY))
    apart = sum(len(p.text.split()) for request in both for p in request.passages)
    taken = math.ceil((len(asked) - len(both)) / drafts.WITHOUT_EVERY)  # whether the rest answers what was taken away
    near = taken * NEAREST * sum(len(p.text.split()) for p in corpus) / max(1, len(corpus))
    checks = parts + taken
    read = int(
        WORD_TOKENS * (words + (1 + share) * (shown + apart) + near + 20 * (2 * len(asked) + 3 * others + checks))
    )
    written = int(WORD_TOKENS * (30 * len(asked) + 8 * (2 * len(asked) + checks) + (15 + 8 * 2) * others))
    priced = prompt_usd is not None or completion_usd is not None
    return {
        "passages": len(corpus),
        "drafts": len(asked),
        "requests": 3 * (len(asked) + others) + checks,
        "prompt_tokens": read,
        "completion_tokens": written,
        "usd": (read * (prompt_usd or 0) + written * (completion_usd or 0)) / 1e6 if priced else None,
    }


def make(
    docs: Path,
    out: Path,
    drafter: Model,
    checker: Model,
    *,
    prompt: Prompt = PLAIN,
    size: int = 800,
    tell: Tell = lambda *_: None,
) -> Made:
    """Draft, check and write the pairs of a folder of documents as a native folder. `prompt`: of the checker. Raises
    UserError."""
    review.check_undecided(out)
    corpus, notes = corpus_of(docs, size)
    out.mkdir(parents=True, exist_ok=True)
    log = out / SAID
    drafting, checking = Asker(drafter, log, tell), Asker(checker, log, tell, prompt)
    dropped: Counter[str] = Counter()
    kept = _new(_drafted(list(drafts.requests(corpus)), drafting, dropped), dropped)
    kept = _checked(kept, checking, corpus, dropped)
    again = kept[:: drafts.OTHER_WORDS_EVERY]
    said = drafting.ask("rewording", "draft", [Question("", drafts.in_other_words(draft).text) for draft in again])
    worded = [
        replace(draft, kind="paraphrase", question=text.splitlines()[0].removeprefix("Question:").strip())
        for draft, text in zip(again, said, strict=True)
        if text and text.strip()
    ]
    fresh = _new([*kept, *worded], dropped)[len(kept) :]
    kept += _checked(fresh, checking, corpus, dropped)
    changed, kept, lost = _taken_away(corpus, kept)
    lost = _unanswered(lost, checking, changed, dropped)
    examples = _examples(kept, lost)
    splits = {name: [e for e in examples if e.split == name] for name in ("train", "dev", "test")}
    if not splits["test"]:
        reasons = ", ".join(f"{number} {why}" for why, number in dropped.most_common()) or "nothing was drafted"
        raise UserError(
            f"no pair is left to test with: {reasons}.",
            where=str(docs),
            remedy="Give more documents, or a model that drafts better ones.",
        )
    native.write_parts(out, changed, splits)
    review.about(out, examples, notes, drafter.name, reviewed=0)
    review.write(out / review.NAME, examples, {p.id: p for p in changed}, {d.id: (d.place, d.answer) for d in lost})
    return Made(out, Counter(e.stratum for e in examples), dropped)


def _drafted(asked: Sequence[drafts.Request], model: Asker, dropped: Counter[str]) -> Iterator[Draft]:
    """The pairs that a model writes; why there is none is counted."""
    said = model.ask("drafting", "draft", [Question("", request.text) for request in asked])
    for request, text in zip(asked, said, strict=True):
        found = drafts.drafted(request, text) if text is not None else FAILED
        if isinstance(found, Draft):
            yield found
        else:
            dropped[found] += 1


def _new(found: Iterable[Draft], dropped: Counter[str]) -> list[Draft]:
    """The drafts whose question was not asked before."""
    kept: list[Draft] = []
    for draft in found:
        if drafts.is_known(draft.question, [other.question for other in kept]):
            dropped["a question that was asked before"] += 1
        else:
            kept.append(draft)
    return kept


def _checked(found: Sequence[Draft], model: Asker, corpus: Sequence[Passage], dropped: Counter[str]) -> list[Draft]:
    """The round trip: a pair is answered right with its passages, and not without them; one of two passages not with
    either alone. What could not be checked is no pair."""
    asked = [Question(draft.id, draft.question, tuple(p.id for p in draft.passages)) for draft in found]
    shown = model.ask("checking with the passage", "oracle", asked, corpus)
    kept = _passing(found, shown, right=True, why="not answered so with its passage", dropped=dropped)
    alone = model.ask("checking without", "closed", [Question(d.id, d.question) for d in kept])
    passed = _passing(kept, alone, right=False, why="answered without its passage", dropped=dropped)
    return _of_both(passed, model, corpus, dropped)


def _passing(
    found: Sequence[Draft], said: Sequence[str | None], *, right: bool, why: str, dropped: Counter[str]
) -> list[Draft]:
    """Those of which the model said something that is right, or is not; the others are counted."""
    kept = []
    for draft, text in zip(found, said, strict=True):
        if text is not None and drafts.is_right(text, draft.answer) == right:
            kept.append(draft)
        else:
            dropped[FAILED if text is None else why] += 1
    return kept


def _of_both(found: Sequence[Draft], model: Asker, corpus: Sequence[Passage], dropped: Counter[str]) -> list[Draft]:
    """Those that need every passage that they name."""
    parts = [(draft, passage) for draft in found if len(draft.passages) > 1 for passage in draft.passages]
    asked = [Question(draft.id, draft.question, (passage.id,)) for draft, passage in parts]
    said = model.ask("checking with one of two passages", "oracle", asked, corpus)
    why: dict[str, str] = {}
    for (draft, _), text in zip(parts, said, strict=True):
        if text is None or drafts.is_right(text, draft.answer):
            why[draft.id] = FAILED if text is None else "answered with one of its two passages"
    dropped.update(why.values())
    return [draft for draft in found if draft.id not in why]


def _unanswered(lost: Sequence[Draft], model: Asker, corpus: Sequence[Passage], dropped: Counter[str]) -> list[Draft]:
    """Those that the passages which come nearest do not answer, now that their own sentence is gone."""
    said = model.ask("checking what was taken away", "rag", [Question(d.id, d.question) for d in lost], corpus)
    return _passing(lost, said, right=False, why="answered though its sentence was taken away", dropped=dropped)


def _taken_away(corpus: Sequence[Passage], kept: Sequence[Draft]) -> tuple[list[Passage], list[Draft], list[Draft]]:
    """(passages, pairs, pairs that have no answer any more): from some passages the sentence that answers is taken."""
    texts, lowered = {p.id: p for p in corpus}, {p.id: p.text.lower() for p in corpus}
    lost: list[Draft] = []
    single = sorted((draft for draft in kept if draft.kind == "single"), key=lambda draft: draft.id)
    for draft in single:  # in no order of the documents
        if len(lost) * drafts.WITHOUT_EVERY >= len(single):
            break
        rest, answer = drafts.without(draft), draft.answer.lower()
        elsewhere = any(answer in text for ident, text in lowered.items() if ident != draft.place.passage)
        if rest is not None and not elsewhere and texts[draft.place.passage] is draft.passages[0]:
            texts[draft.place.passage] = rest
            lost.append(draft)
    gone = {draft.id for draft in lost}
    left = [moved for draft in kept if draft.id not in gone and (moved := _moved(draft, texts))]
    return list(texts.values()), left, lost


def _moved(draft: Draft, texts: Mapping[str, Passage]) -> Draft | None:
    """The pair on the passages as they are now; None where its answer was taken with another's."""
    at = texts[draft.place.passage].text.find(draft.answer)
    if at < 0:
        return None
    place = Place(draft.place.passage, at, at + len(draft.answer))
    return replace(draft, passages=tuple(texts[p.id] for p in draft.passages), place=place)


def _examples(kept: Sequence[Draft], lost: Sequence[Draft]) -> list[Example]:
    """The pairs in their splits, documents whole; where there are too few documents passages, with those that a pair
    needs both of."""
    groups = [draft.passages[0].group for draft in (*kept, *lost)]
    if len(set(groups)) < 3:
        together = DisjointSet(p.id for draft in (*kept, *lost) for p in draft.passages)
        for draft in (*kept, *lost):
            for other in draft.passages[1:]:
                together.merge(draft.passages[0].id, other.id)
        groups = [together[draft.passages[0].id] for draft in (*kept, *lost)]
    splits = drafts.split_of(groups) if groups else {}
    placed = iter(groups)
    answered = [drafts.example(draft, splits[next(placed)]) for draft in kept]
    return answered + [drafts.example(draft, splits[next(placed)], answerable=False) for draft in lost]
