"""V6 and V7: the scores against independent statements of the published rules."""

from __future__ import annotations

import random
import string
from collections import Counter

import pytest

from bench.core.vocabulary import Answer, Record
from bench.metrics import answer, retrieval, text

WORDS = [
    "the",
    "a",
    "an",
    "The",
    "A",
    "14",
    "rpm",
    "Zürich",
    "don't",
    "x-ray",
    "é",
    "ＦＵＬＬ",
    "ß",
    "İ",
    "١٤",
    "—",
    "...",
    "“q”",
    "\u2028",
    "an\u00a0apple",
    "",
    " ",
    "!",
    "a.",
    "U.S.A",
]


def plain(said: str) -> list[str]:
    """SQuAD v1.1: lower case, then ASCII punctuation out, then the articles as words, then split at white space."""
    kept = "".join(c for c in said.lower() if c not in set(string.punctuation))
    out, word = [], ""
    for c in kept + "\0":  # \b is where a word character meets another
        if c.isalnum() or c == "_":
            word += c
        else:
            out += [" " if word in ("a", "an", "the") else word, c]
            word = ""
    return "".join(out).rstrip("\0").split()


def published(said: str, references: list[str]) -> tuple[float, float]:
    """Exact match is the same in both versions. F1 is v2's: of two texts one of which has no word left, whether both
    have none; v1.1 gives 0 there, to what it calls an exact match."""

    def f1(a: list[str], b: list[str]) -> float:
        if not a or not b:
            return float(a == b)
        same = sum((Counter(a) & Counter(b)).values())
        return 2 * same / (len(a) + len(b)) if same else 0.0

    mine = plain(said)
    return float(any(mine == plain(r) for r in references)), max(f1(mine, plain(r)) for r in references)


def pairs(count: int, seed: int) -> list[tuple[str, list[str]]]:
    rng = random.Random(seed)

    def phrase() -> str:
        return rng.choice(["", " ", "-"]).join(rng.choices(WORDS, k=rng.randint(0, 5)))

    made = []
    for _ in range(count):
        references = [phrase() for _ in range(rng.randint(1, 3))]
        made.append((rng.choice([phrase(), rng.choice(references), rng.choice(references).upper()]), references))
    return made


def differing(count: int, seed: int) -> list[object]:
    found: list[object] = []
    for said, references in pairs(count, seed):
        got, right = text.squad(said, references), published(said, references)
        if abs(got[0] - right[0]) > 1e-12 or abs(got[1] - right[1]) > 1e-12:
            found.append((said, references, got, right))
    return found


def test_squad_rules_on_fuzzed_pairs() -> None:
    assert differing(3000, seed=1) == []


@pytest.mark.slow
def test_squad_rules_on_many_fuzzed_pairs() -> None:
    assert differing(100_000, seed=2) == []


def record(said: str, answers: tuple[str, ...]) -> Record:
    return Record("c", "s", 1, "q", "all", "g", "?", answers, (), (), Answer(said), 0, 1, 0.1, None)


def test_no_answer_is_right_only_where_none_is_asked_for() -> None:
    """SQuAD v2: on a question without an answer the score is whether nothing was said."""
    for said, right in (("", 1.0), ("unknown", 1.0), ("the", 1.0), ("14 rpm", 0.0), ("unknown valve", 0.0)):
        asked = record(said, ())
        assert (answer.em(asked, ("unknown",)), answer.f1(asked, ("unknown",))) == (right, right), said
    assert answer.em(record("", ("14 rpm",)), ("unknown",)) == 0.0


def test_retrieval_on_ties_and_grades_is_trec_evals() -> None:
    """Every passage with the same score: ours go by rank, which pytrec_eval is told by distinct scores."""
    pytrec_eval = pytest.importorskip("pytrec_eval")
    rng = random.Random(3)
    rows = {}
    for q in range(300):
        pool = [f"d{n}" for n in rng.sample(range(40), 12)]
        gold = {d: rng.choice((1, 1, 2, 3)) for d in rng.sample(pool, rng.randint(1, 4))}
        rows[f"q{q}"] = (rng.choices(pool, k=8), gold)  # chunks of one passage repeat
    k = 4
    got = retrieval.measures(rows, k)
    ranked = {q: list(dict.fromkeys(ids)) for q, (ids, _) in rows.items()}
    judge = pytrec_eval.RelevanceEvaluator(
        {q: gold for q, (_, gold) in rows.items()}, {"recall.4", "ndcg_cut.4", "recip_rank", "P.4"}
    )
    right = judge.evaluate({q: {d: float(len(ids) - n) for n, d in enumerate(ids)} for q, ids in ranked.items()})
    for q, ids in ranked.items():
        assert got["recall_at_k"][q] == pytest.approx(right[q]["recall_4"], abs=1e-12)
        assert got["precision_at_k"][q] == pytest.approx(right[q]["P_4"], abs=1e-12)
        assert got["ndcg"][q] == pytest.approx(right[q]["ndcg_cut_4"], abs=1e-12)
        first = next((n for n, d in enumerate(ids[:k], 1) if d in rows[q][1]), None)
        assert got["mrr"][q] == pytest.approx(1 / first if first else 0.0, abs=1e-12)
    tied = judge.evaluate({q: dict.fromkeys(ids, 1.0) for q, ids in ranked.items()})
    assert any(
        abs(tied[q]["ndcg_cut_4"] - right[q]["ndcg_cut_4"]) > 1e-6 for q in rows
    )  # the control: ties by id are another order
