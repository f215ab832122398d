"""Drafts of question-answer pairs from one's own passages: what is asked of a model, and what of its words is kept."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rapidfuzz import fuzz, process

from bench.core.vocabulary import Example, Passage, Place, Question
from bench.metrics.text import contains, squad

Kind = Literal["single", "multi", "paraphrase"]
ALIKE = 90.0  # of 100: questions that are as much alike are one
LONGEST = 12  # words of an answer
MULTI_EVERY, WITHOUT_EVERY, OTHER_WORDS_EVERY = 4, 5, 3  # one passage, or pair, of so many
SINGLE = (
    "Read the passage. Write one question that it answers in a few words, and that makes sense to a reader who does "
    "not see it. Then write the answer exactly as it stands in the passage.\n\nPassage: {title}\n{text}\n\n"
    "Reply with two lines and nothing else:\nQuestion: ...\nAnswer: ..."
)
MULTI = (
    "Read the two passages. Write one question that can only be answered with both of them, and that makes sense to a "
    "reader who does not see them. Then write the answer exactly as it stands in one of them.\n\n"
    "Passage 1: {title}\n{text}\n\nPassage 2: {other_title}\n{other}\n\nReply with two lines and nothing else:\n"
    "Question: ...\nAnswer: ..."
)
PARAPHRASE = (
    "Say this question in other words, so that it has the same answer. Reply with the question and nothing else.\n\n"
    "Question: {question}"
)
_PAIR = re.compile(r"question:\s*(?P<question>.+?)\s*\n+\s*answer:\s*(?P<answer>.+?)\s*(\n|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Request:
    """One thing to ask the model that drafts."""

    kind: Kind
    passages: tuple[Passage, ...]
    text: str


@dataclass(frozen=True)
class Draft:
    """A pair that a model wrote, the passages it is from, and where in the first of them the answer stands."""

    kind: Kind
    question: str
    answer: str
    passages: tuple[Passage, ...]
    place: Place

    @property
    def id(self) -> str:
        """Of what it says and where it is from: the same in every run."""
        parts = (self.question, self.answer, *(p.id for p in self.passages))
        return f"{self.kind}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:10]}"


def requests(corpus: Sequence[Passage]) -> Iterator[Request]:
    """A question on every passage, and on some neighbours of one document together."""
    for passage in corpus:
        yield Request("single", (passage,), SINGLE.format(title=passage.title, text=passage.text))
    for number, (one, other) in enumerate(itertools.pairwise(corpus)):
        if one.group == other.group and number % MULTI_EVERY == 0:
            text = MULTI.format(title=one.title, text=one.text, other_title=other.title, other=other.text)
            yield Request("multi", (one, other), text)


def in_other_words(draft: Draft) -> Request:
    """A request for the question in other words."""
    return Request("paraphrase", draft.passages, PARAPHRASE.format(question=draft.question))


def drafted(request: Request, said: str) -> Draft | str:
    """The pair in what a model said, or why there is none."""
    found = _PAIR.search(said)
    if found is None:
        return "no question and answer in two lines"
    question, answer = found["question"].strip(), found["answer"].strip().rstrip(".")
    if len(answer.split()) > LONGEST or not answer:
        return f"an answer of more than {LONGEST} words"
    for passage in request.passages:
        start = passage.text.lower().find(answer.lower())
        if start >= 0:
            exact = passage.text[start : start + len(answer)]
            return Draft(request.kind, question, exact, request.passages, Place(passage.id, start, start + len(exact)))
    return "an answer that does not stand in the passage"


def is_right(said: str, answer: str) -> bool:
    """Whether words of a model give the answer: it is in them, or they are as good as it."""
    return contains(said, [answer]) == 1.0 or squad(said, [answer])[0] == 1.0


def is_known(question: str, others: Sequence[str]) -> bool:
    """Whether a question was asked before, in nearly the same words."""
    lowered = [other.lower() for other in others]
    return process.extractOne(question.lower(), lowered, scorer=fuzz.token_sort_ratio, score_cutoff=ALIKE) is not None


def without(draft: Draft) -> Passage | None:
    """The passage without the sentence that answers; None where that is all of it, or the answer stands elsewhere in it
    too."""
    passage = next(p for p in draft.passages if p.id == draft.place.passage)
    if passage.text.lower().count(draft.answer.lower()) != 1:
        return None
    ends = [0, *(match.end() for match in re.finditer(r"[.!?]\s+|\n+", passage.text)), len(passage.text)]
    start = max(end for end in ends if end <= draft.place.start)
    end = min(end for end in ends if end >= draft.place.end)
    rest = (passage.text[:start] + passage.text[end:]).strip()
    return Passage(passage.id, rest, passage.title, passage.group) if rest else None


def split_of(groups: Sequence[str]) -> dict[str, str]:
    """group -> train, dev or test: half, a tenth and the rest, whole groups together, the same in every run."""
    order = sorted(set(groups), key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    many = Counter(groups)
    found, seen = {}, 0
    for group in order:
        share = seen / len(groups)
        found[group] = "train" if share < 0.5 else "dev" if share < 0.6 else "test"
        seen += many[group]
    if "test" not in found.values() and len(order) > 1:
        found[order[-1]] = "test"
    return found


def example(draft: Draft, split: str, *, answerable: bool = True) -> Example:
    """A pair as a question of a dataset; of one whose fact was taken away, abstaining is right."""
    question = Question(draft.id, draft.question, tuple(p.id for p in draft.passages) if answerable else ())
    return Example(
        question,
        (draft.answer,) if answerable else (),
        draft.kind if answerable else "unanswerable",
        draft.passages[0].group,
        split,
        spans=((draft.place,),) if answerable else (),
    )
