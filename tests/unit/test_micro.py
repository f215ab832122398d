"""The micro models: true exercises, a tokenizer that keeps names whole, training that learns and can be resumed."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.core.vocabulary import Passage
from bench.world.language import UNKNOWN
from bench.world.world import side
from systems.micro.reading import DOCUMENTS, DOUBTFUL, FORMS, alike_but_for_the_name, exercise, loose, scales, triplets
from tests.conftest import EMBEDDER, MICRO
from tests.pages import asked_about, facts_of, kind_of

TINY = {
    "steps": 60,
    "hold": 40,
    "size": 768,
    "hidden": 32,
    "layers": 2,
    "heads": 2,
    "peak": 5e-3,
    "every": 20,
    "bf16": False,
    "texts": 600,
    "probes": 4,
    "loose": 0,
    "pages": 30,
    "alike": 40,
    "many": 50,
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small gain nothing from a second one, and the tests beside them lose it."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def page(text: str) -> Passage:
    """A page of an exercise, its title read off its opening."""
    words = text.split(". ")[0].split()
    machine = words[-1].isdigit()
    return Passage("x", text, " ".join(words[-2:] if machine else words[-1:]))


def said(question: str, answer: str) -> list[str]:
    """The parts of an answer; of a document without its words: one before each part, and the last."""
    parts = answer.split(", ")
    document = any(d in question.lower() for d in DOCUMENTS)
    return [part.split(" ", 1)[1] for part in parts[:3]] if document else parts


@pytest.mark.parametrize("passages", [1, 2, 4, 8])
def test_every_answer_of_an_exercise_stands_in_its_passages(passages: int) -> None:
    asked = set()
    for n in range(25):
        e = exercise(f"t{n}", passages=passages, turns=12)
        pages = [page(p) for p in e.passages]
        known = {p.title: facts_of(p) for p in pages}
        assert len(pages) == passages == len(known) and all(known.values())
        values = {v for facts in known.values() for v in facts.values()} | set(known)
        assert len({q for q, _ in e.turns}) == len(e.turns)
        for question, answer in e.turns:
            asked.add(answer == UNKNOWN)
            assert answer == UNKNOWN or set(said(question, answer)) <= values, (question, answer)
    assert asked == {True, False}


@pytest.mark.parametrize("form", ["single", "missing", "absent"])
def test_plain_questions_are_answered_from_the_page_that_they_name(form: str) -> None:
    count = 0
    for n in range(40):
        e = exercise(f"u{n}", passages=4, turns=2, forms={form: 1}, alike=f"w{n}" if n % 2 else "")
        pages = [page(p) for p in e.passages]
        for question, answer in e.turns:
            about = [p for p in pages if f"{p.title} " in f"{question.rstrip('?.')} ".replace(",", " ")]
            facts = [facts_of(p).get(a, UNKNOWN) for p in about for a in asked_about(p, question)]
            assert ([answer] == facts) if form != "absent" else (answer == UNKNOWN and not about), (question, answer)
            assert (answer == UNKNOWN) == (form != "single")
            count += 1
    assert count > 40


def test_pages_shown_together_are_those_that_a_search_confuses() -> None:
    def shared(alike: str, n: int) -> int:
        pages = [page(p) for p in exercise(f"a{n}", passages=4, turns=1, alike=alike).passages]
        known = [
            {*re.findall(r"[A-Z][aeiou][ln]?|[a-z]{2}[ks]?$|\d+", p.title), *((kind_of(p), a) for a in facts_of(p))}
            for p in pages
        ]
        return sum(len(a & b) for a, b in itertools.combinations(known, 2))

    assert sum(shared("w", n) for n in range(20)) > 1.3 * sum(shared("", n) for n in range(20))


def test_without_passages_nothing_is_known() -> None:
    assert {a for n in range(20) for _, a in exercise(f"z{n}", passages=0, turns=2).turns} == {UNKNOWN}


def test_loose_statements_are_told_apart_by_name_and_attribute() -> None:
    for n in range(30):
        e = loose(f"l{n}", statements=8, turns=6)
        (text,) = e.passages
        assert 2 <= len(text.splitlines()) <= 8 and all(
            a == UNKNOWN or all(part in text for part in said(q, a)) for q, a in e.turns
        )


def test_statements_that_differ_in_the_name_alone() -> None:
    for n in range(30):
        e = alike_but_for_the_name(f"n{n}", statements=6, turns=8)
        lines = re.sub(r"\. (?=It|The|Both|Its)", " ", e.passages[0]).splitlines()
        assert 3 <= len(lines) <= 6 and len(e.turns) >= 3
        for question, answer in e.turns:
            named = [line for line in lines if answer in line]
            assert answer == UNKNOWN or all(part in e.passages[0] for part in answer.split(", "))
            assert answer == UNKNOWN or not re.match("(Tell|What|Name the)", question) or named


def told_by(pages: list[Passage], name: str, question: str) -> list[str]:
    """What the page of a name says of what a question asks, by its first noun."""
    return [facts_of(p).get(a, UNKNOWN) for p in pages if p.title == name for a in asked_about(p, question)]


def test_steps_are_what_the_page_of_a_name_says() -> None:
    count = 0
    for n in range(40):
        e = exercise(f"st{n}", passages=5, turns=6, forms={"single": 1, "missing": 1, "compare": 1}, alike=f"w{n % 3}")
        pages = [page(p) for p in e.passages]
        assert len(e.steps) == len(e.turns)
        for (question, answer), steps in zip(e.turns, e.steps, strict=True):
            for name, found in steps:
                assert [found] == told_by(pages, name, question), (question, steps)
                assert question.index(name) > 0
                count += 1
            if len(steps) == 1:
                assert steps[0][1] == answer
            elif steps:
                high = max(steps, key=lambda s: int(re.sub(r"\D", "", s[1])))
                assert answer == high[0]
    assert count > 100


def test_steps_are_taught_where_a_name_ends_and_where_an_answer_begins() -> None:
    from transformers import PreTrainedTokenizerFast

    from systems.micro.lessons import FOUND, SAID, tokens

    tokenizer = PreTrainedTokenizerFast.from_pretrained(MICRO)
    for n in range(12):
        e = exercise(f"at{n}", passages=4, turns=6, forms={"single": 1, "two_hop": 1, "compare": 1}, alike="w")
        row = tokens(tokenizer, e)
        read: dict[int, list[tuple[str, str]]] = {FOUND: [], SAID: []}
        for at, token, kind in row.steps:
            read[kind].append((tokenizer.decode(row.ids[: at + 1]), tokenizer.decode(token)))
        taught = [step for steps in e.steps for step in steps]
        assert len(read[FOUND]) == len(taught) and len(read[SAID]) == len(e.turns)
        for (before, first), (name, found) in zip(read[FOUND], taught, strict=True):
            assert before.endswith(name) and f" {found}".startswith(first)
        for (before, first), (_, answer) in zip(read[SAID], e.turns, strict=True):
            assert before.endswith("<assistant>") and f" {answer}".startswith(first)


def test_scales_are_compared_without_a_page() -> None:
    for n in range(5):
        e = scales(f"sc{n}", turns=20)
        assert e.passages == () and len(e.turns) == 20
        for (question, answer), steps in zip(e.turns, e.steps, strict=True):
            first, second = steps
            assert all(f"{value} at " in question for _, value in steps)
            assert answer == max(first, second, key=lambda s: int(re.sub(r"\D", "", s[1])))[0]


def test_weights_are_rounded_to_what_packs() -> None:
    import torch

    from systems.micro.train_lm import short

    weight = torch.randn(400)
    kept = short(weight)
    assert kept.dtype == torch.float16 and not (kept.view(torch.int16) & 15).any()
    assert torch.allclose(kept.float(), weight, rtol=0.0085, atol=1e-4)


def test_documents_are_filled_in_the_order_asked_for() -> None:
    seen = set()
    for n in range(60):
        e = exercise(f"dr{n}", passages=3, turns=3, forms={"draw": 1}, alike=f"w{n % 3}")
        pages = [page(p) for p in e.passages]
        for question, answer in e.turns:
            name = said(question, answer)[0]
            first, second = sorted(told_by(pages, name, question), key=lambda v: answer.index(f" {v}"))
            frame = answer.replace(name, "NAME").replace(first, "FIRST", 1).replace(second, "SECOND", 1)
            document = next(d for d in DOCUMENTS if d in question.lower())
            seen.add((document, frame))
    assert len(seen) == len({d for d, _ in seen}) == len(DOCUMENTS)


def test_exercises_have_every_form_and_only_training_names() -> None:
    assert sum(FORMS.values()) == sum(DOUBTFUL.values()) == 100 and list(FORMS) == list(DOUBTFUL)
    for form in FORMS:
        assert any(exercise(f"f{n}", passages=6, turns=1, forms={form: 1}).turns for n in range(20)), form
    for n in range(30):
        for text in exercise(f"s{n}", passages=4, turns=2).passages:
            assert side(page(text).title.split()[0]) == "training"


def test_triplets_pair_a_question_with_its_page_and_a_sibling() -> None:
    rows = list(triplets("t", 60))
    for question, right, wrong in rows:
        assert page(right).title in question and right != wrong and page(wrong).title not in question
    siblings = [
        page(r).title.split()[0] == page(w).title.split()[0] for _, r, w in rows if kind_of(page(r)) == "machine"
    ]
    assert sum(siblings) >= 0.9 * len(siblings) > 0


def test_tokenizer_keeps_names_and_numbers_whole() -> None:
    from transformers import AutoTokenizer

    from bench.world.world import words

    tokenizer = AutoTokenizer.from_pretrained(MICRO)
    for of in ("plant", "elsewhere", "training"):
        assert {len(tokenizer.tokenize(f" {w}")) for w in words(of)[:400]} == {2}
    assert {len(tokenizer.tokenize(f" {n}")) for n in range(10, 100)} == {1}
    assert {len(tokenizer.tokenize(f" {n}")) for n in range(1950, 2025)} <= {1, 2}
    text = "WO Resini 63 | DRM 14 Nm | FREI \N{GREEK SMALL LETTER ALPHA}"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_micro_models_are_small_and_plain() -> None:
    from safetensors import safe_open

    weights = [next(MICRO.glob("*.safetensors")), next(EMBEDDER.rglob("*.safetensors"))]
    assert sum(w.stat().st_size for w in weights) < 40e6
    with safe_open(weights[0], "np") as f:
        count = sum(f.get_tensor(k).size for k in f.keys())  # noqa: SIM118
    assert 2e6 <= count <= 10e6
    assert json.loads((MICRO / "config.json").read_text())["model_type"] == "lfm2"


@pytest.mark.heavy
def test_training_the_language_model_lowers_the_loss_and_can_be_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from systems.micro import lessons
    from systems.micro.lessons import Plan
    from systems.micro.train_lm import train

    plan = Plan(**TINY)
    whole = train(plan, tmp_path / "whole")
    state, batch = tmp_path / "state.pt", lessons.batch

    def stopped(*args: Any, step: int) -> Any:
        if step == 45:
            raise KeyboardInterrupt
        return batch(*args, step=step)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lessons, "batch", stopped)
        train(plan, tmp_path / "part", resume=state)
    rest = train(plan, tmp_path / "part", resume=state)
    assert [p["step"] for p in whole] == [20, 40, 60] and whole[-1]["loss"] < whole[0]["loss"] - 0.5
    assert [p["loss"] for p in rest] == [p["loss"] for p in whole]
    told = json.loads((tmp_path / "whole" / "curve.json").read_text())
    assert told["points"] == whole and [p["seed"] for p in told["plans"]] == [plan.seed]
    further = train(replace(plan, steps=20, hold=10, loose=0, pages=0), tmp_path / "further", start=tmp_path / "whole")
    told = json.loads((tmp_path / "further" / "curve.json").read_text())
    assert told["points"] == whole + further and [p["steps"] for p in told["plans"]] == [60, 20]
    assert further[0]["step"] == 80 and further[0]["tokens"] > whole[-1]["tokens"]
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "whole")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hm?"}], add_generation_prompt=True, return_tensors="pt"
    )
    assert model.generate(**ids, max_new_tokens=2).shape[1] > ids["input_ids"].shape[1]


# sentence-transformers 6 has these classes elsewhere, and 5 has them only here
@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers:DeprecationWarning")
def test_training_the_embedder_lowers_the_loss(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from systems.micro.train_embedder import train

    told = train(tmp_path / "e", seed="t", worlds=8, dimensions=16, epochs=2, rate=0.1)
    assert told["losses"][-1] < 0.8 * told["losses"][0] and told["recall_at_4"] > told["recall_at_4_before"]
    assert SentenceTransformer(str(tmp_path / "e"), device="cpu").encode(["The Resini 63"]).shape == (1, 16)


def test_widths_that_are_no_whole_blocks_answer_in_four_bits() -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    from bench.core.blocks import Model
    from systems.parts import lm

    whole, four = (lm.load(Model(name=str(MICRO)), precision=p)[0] for p in ("native", "nf4"))
    layers = [m for n, m in whole.named_modules() if isinstance(m, torch.nn.Linear) and n != "lm_head"]
    assert any(m.in_features % 64 for m in layers)
    for layer in layers:
        layer.weight.data = dequantize_4bit(
            *quantize_4bit(layer.weight.data, quant_type="nf4", compress_statistics=True)
        )
    with torch.no_grad():
        said, meant = (m(input_ids=torch.arange(5, 45)[None]).logits for m in (four, whole))
    assert torch.allclose(said, meant, atol=1e-3)
