"""Pairs drafted from documents: a scripted model behind a real endpoint, real Markdown pages, and a plant whose truth
is known."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench import parse
from bench.cli.main import app
from bench.core.blocks import Model
from bench.core.errors import UserError
from bench.core.store import Store
from bench.data import drafts
from bench.data.formats import native
from bench.execution import pairs, review
from bench.execution.run import prepare
from tests.conftest import MICRO, MINI, ROOT, Served, raw_spec, serving
from tests.served import Streaming

WORD = re.compile(r"[A-Za-z][A-Za-z_-]{6,}")
TRUTH = {  # of the embedded plant: question -> (answer, passage)
    e.question.text: (e.answers[0], e.question.gold[0])
    for split in (native.read_folder(MINI).test, native.read_folder(MINI).train)
    for e in split
    if e.answers and len(e.question.gold) == 1
}
ASKED: list[str] = []  # what the servers were asked


class Script(Streaming):
    """Drafts from the longest word of a passage, and answers its own questions when it is shown the passage."""

    @staticmethod
    def say(body: dict[str, Any]) -> list[str]:
        text = body["messages"][-1]["content"]
        ASKED.append(text)
        if text.startswith("Say this question"):
            return ["In other words: " + text.rsplit("Question: ", 1)[1].lower()]
        if text.startswith("Read the two"):
            one, other = text.split("Reply with two lines")[0].split("\n\nPassage 2: ")
            words = [max(WORD.findall(part.split("\n", 3)[-1]), key=len, default="") for part in (one, other)]
            if not all(words) or words[0][:5] == words[1][:5]:
                return ["I cannot."]
            of_both = f"{words[0][:5]} and {words[1][:5]} {len(text)}"
            return [f"Question: Which long word is in the passages about {of_both}?\nAnswer: {words[0]}"]
        if text.startswith("Read the"):
            passage = text.split("Reply with two lines")[0].split("\n", 3)[-1]
            word = max(WORD.findall(passage), key=len, default="")
            if not word:
                return ["I cannot."]
            return [f"Question: Which long word is in the passage about {word[:5]} {len(passage)}?\nAnswer: {word}"]
        found = re.search(r"passages? about (\S+)(?: and (\S+))?", text, re.IGNORECASE)
        words = WORD.findall(text.split("Question:")[0]) if "[1]" in text else []
        if found and found[2] and not any(w.lower().startswith(found[2].lower()) for w in words):
            return ["unknown"]
        return [max((w for w in words if found and w.lower().startswith(found[1].lower())), key=len, default="unknown")]


class Chatty(Script):
    """The same, with words of its own in each question, so that no two are alike."""

    @staticmethod
    def say(body: dict[str, Any]) -> list[str]:
        (said,) = Script.say(body)
        if not said.startswith("Question: "):
            return [said]
        draws = random.Random(said)
        return [said.replace("Question: ", f"Question: {' '.join(letters(draws, 6) for _ in range(6))} ", 1)]


def letters(draws: random.Random, count: int) -> str:
    return "".join(draws.choices("abcdefghijklmnopqrstuvwxyz", k=count))


class Broken(Script):
    """The same, but it refuses every second request with one passage, the same ones each time: of those with several
    there may be a single one, and where nothing is answered the command ends."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if sum(body) % 2 and b"[2]" not in body:
            self.send_error(400, "planted")
            return
        self.rfile = io.BytesIO(body)
        super().do_POST()


class Plant(Streaming):
    """Drafts what is known of a plant's page, and of every third passage a wrong value that stands in it too."""

    @staticmethod
    def say(body: dict[str, Any]) -> list[str]:
        text = body["messages"][-1]["content"]
        if text.startswith("Say this question"):  # and says another one of the same page
            asked = text.rsplit("Question: ", 1)[1].strip()
            of_page = [q for q, (_, p) in TRUTH.items() if p == TRUTH[asked][1] and q not in FIRST]
            return [of_page[-1] if of_page else "I cannot."]
        known = [(q, a) for q, (a, p) in TRUTH.items() if PAGES[p] in text and a.lower() in text.lower()]
        if text.startswith("Read the two"):  # and asks what one of them answers
            alone = [(q, a) for q, a in known if q not in FIRST]
            return [f"Question: {alone[0][0]}\nAnswer: {alone[0][1]}"] if alone else ["I cannot."]
        if not text.startswith("Read the passage") or not known:
            return ["I cannot."]
        question, answer = known[0]
        if len(PAGES) and sum(map(ord, question)) % 3 == 0:
            numbers = [n for n in re.findall(r"\d+", text) if n not in answer]
            answer = numbers[0] if numbers else answer
        return [f"Question: {question}\nAnswer: {answer}"]


PAGES = {p.id: p.text for p in native.read_folder(MINI).corpus}
FIRST = {next(q for q, (_, p) in TRUTH.items() if p == page) for page in {p: None for _, p in TRUTH.values()}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Script) as found:
        yield found


@pytest.fixture(scope="module")
def docs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty pages of Markdown: this project's decisions, a part a page. They change least of its documents."""
    folder = tmp_path_factory.mktemp("docs")
    files = sorted((ROOT / "docs" / "adr").glob("*.md"))
    sections = [s for file in files for s in re.split(r"\n(?=\*\*)", file.read_text()) if len(s.split()) > 40]
    for number, section in enumerate(sections[:30]):
        (folder / f"page-{number:02}.md").write_text(section)
    assert len(list(folder.iterdir())) == 30
    return folder


@pytest.fixture(scope="module")
def drafted(url: str, docs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pairs") / "mine"
    model = Model(name="scripted", base_url=url)
    pairs.make(docs, out, model, model)
    return out


def test_thirty_pages_become_a_dataset_that_runs(drafted: Path, tmp_path: Path) -> None:
    task = native.read_folder(drafted)
    texts = {p.id: p.text for p in task.corpus}
    every = [*task.train, *task.dev, *task.test]
    assert len(every) >= 20 and task.train and task.test
    assert {e.stratum for e in every} == {"single", "multi", "paraphrase", "unanswerable"}
    for e in every:
        for (place,) in e.spans:
            assert texts[place.passage][place.start : place.end] == e.answers[0]
        assert e.stratum != "unanswerable" or e.answers == () == e.question.gold
    splits = [{e.group for e in part} for part in (task.train, task.dev, task.test)]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]
    spec = parse(raw_spec(dataset={"path": str(drafted)}, systems=[{"name": "s", "kind": "tests.kinds.echo"}]))
    assert "no person has reviewed them" in prepare(spec, Store(tmp_path)).task.notes[0]


def test_what_was_taken_away_stands_nowhere(drafted: Path) -> None:
    """An unanswerable question is of a sentence that the documents have, and the corpus has no more."""
    whole = " ".join(p.text for p in native.read_folder(drafted).corpus).lower()
    said = " ".join(json.loads(line)["said"] for line in (drafted / pairs.SAID).read_text().splitlines())
    with (drafted / "review.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "unanswerable"]
    assert rows
    for row in rows:
        assert "was taken from here" in row["evidence"]
        answer = re.search(rf"{re.escape(row['question'])}\nAnswer: (\S+)", said)
        assert answer and not row["answer"] and answer[1].lower() not in whole


def test_a_second_run_asks_nothing_and_says_the_same(drafted: Path, url: str, docs: Path) -> None:
    before = {p.name: p.read_bytes() for p in drafted.glob("*.jsonl")}
    asked = len(ASKED)
    model = Model(name="scripted", base_url=url)
    pairs.make(docs, drafted, model, model)
    assert len(ASKED) == asked and {p.name: p.read_bytes() for p in drafted.glob("*.jsonl")} == before
    log = drafted / pairs.SAID
    lines = log.read_text().splitlines()
    log.write_text("\n".join(lines[:-7]) + "\n" + lines[-7][:20])  # as if it had been stopped in the middle of a line
    pairs.make(docs, drafted, model, model)
    assert len(ASKED) - asked == 7 and {p.name: p.read_bytes() for p in drafted.glob("*.jsonl")}.keys() == before.keys()


def test_a_person_reviews(drafted: Path, docs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in (*drafted.glob("*.jsonl"), drafted / "dataset.yaml", drafted / "review.csv"):
        (folder / file.name).write_bytes(file.read_bytes())
    with (folder / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tests = [row for row in rows if row["split"] == "test" and row["kind"] == "single"]
    accept, edit, drop = tests[:3]
    accept["decision"], drop["decision"] = "accept", "drop"
    edit |= {"decision": "edit", "question": "What is it called?", "answer": edit["evidence"][:9]}
    with (folder / "review.csv").open("w", newline="") as file:
        out = csv.DictWriter(file, review.COLUMNS)
        out.writeheader()
        out.writerows(rows)
    model = Model(name="scripted", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="3 decisions of a person"):
        pairs.make(docs, folder, model, model)
    done = CliRunner().invoke(app, ["pairs", str(folder), "--review"])
    assert done.exit_code == 0 and f"2 pairs accepted, 1 dropped, {len(rows) - 3} not reviewed." in done.output
    task = native.read_folder(folder)
    known = {e.question.id: e for e in (*task.train, *task.dev, *task.test)}
    assert drop["id"] not in known and known[edit["id"]].question.text == "What is it called?"
    assert known[edit["id"]].spans[0][0].start == 0 and "2 of them were reviewed by a person" in task.notes[0]
    assert review.decided(folder) == (2, 1, len(rows) - 3), "a second sitting: what was dropped stays so"
    with (folder / "review.csv").open("w", newline="", encoding="utf-8-sig") as file:
        out = csv.DictWriter(file, review.COLUMNS, delimiter=";")
        out.writeheader()
        out.writerows(rows)
    assert review.decided(folder) == (2, 1, len(rows) - 3), "as a spreadsheet of another country saves it"
    (folder / "review.csv").write_bytes("id,decision\ncaf\xe9,drop\n".encode("cp1252"))
    with pytest.raises(UserError, match="Save it as `CSV UTF-8`"):
        review.decided(folder)
    (folder / "review.csv").write_text("name,verdict\na,drop\n")
    with pytest.raises(UserError, match="there is no column 'id'"):
        review.decided(folder)
    (folder / "review.csv").write_text(",".join(review.COLUMNS) + "\nnobody,test,single,accept,q,a,d,e\n")
    with pytest.raises(UserError, match=r"review\.csv:2: there is no pair 'nobody'"):
        review.decided(folder)


@pytest.mark.heavy
def test_the_command_drafts_and_what_cannot_be_checked_is_no_pair(docs: Path, tmp_path: Path) -> None:
    """A checker that fails every second request: what it did not answer is dropped, and told so."""
    with serving(Script) as drafter, serving(Broken) as checker:
        given = ["--out", str(tmp_path / "mine"), "--model", "scripted", "--base-url", drafter, "--json"]
        planned = json.loads(CliRunner().invoke(app, ["pairs", str(docs), "--plan", "--json"]).output)
        before = len(ASKED)
        whole = CliRunner().invoke(app, ["pairs", str(docs), *given])
        assert whole.exit_code == 0, whole.output
        assert 0 < len(ASKED) - before <= planned["requests"]
        made = pairs.make(
            docs, tmp_path / "broken", Model(name="s", base_url=drafter), Model(name="s", base_url=checker)
        )
    assert made.dropped["the model did not answer"] > 5
    whole_task, less = native.read_folder(tmp_path / "mine"), native.read_folder(made.folder)
    counts = [sum(len(split) for split in (t.train, t.dev, t.test)) for t in (whole_task, less)]
    assert 0 < counts[1] < 0.6 * counts[0]


def test_one_document_is_split_by_its_passages(url: str, docs: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    whole = "\n\n".join(page.read_text() for page in sorted(docs.iterdir())[:12])
    (tmp_path / "one" / "all.md").write_text(whole)
    model = Model(name="scripted", base_url=url)
    task = native.read_folder(pairs.make(tmp_path / "one", tmp_path / "out", model, model).folder)
    train, dev, test = ({p for e in split for p in e.question.gold} for split in (task.train, task.dev, task.test))
    assert train and test and not train & test and not dev & test and not train & dev
    assert any(len(e.question.gold) > 1 for e in (*task.train, *task.dev, *task.test))


@pytest.mark.parametrize(
    ("question", "is_known"),
    [
        ("How fast does the pump run?", True),
        ("how fast does the pump run", True),
        ("Does the pump run how fast?", True),
        ("Who built the pump?", False),
    ],
)
def test_a_question_asked_before_is_known_in_nearly_the_same_words(question: str, is_known: bool) -> None:
    assert drafts.is_known(question, ["Where is the hall?", "How fast does the pump run?"]) == is_known


def test_the_plan_asks_nothing(docs: Path, url: str, tmp_path: Path) -> None:
    asked = len(ASKED)
    told = CliRunner().invoke(app, ["pairs", str(docs), "--plan", "--json"])
    found = json.loads(told.output)
    assert len(ASKED) == asked and found["passages"] >= 30 and found["requests"] >= 3 * found["passages"]
    assert found["prompt_tokens"] > 1000
    prices = ["--prompt-usd", "2", "--completion-usd", "10"]
    priced = json.loads(CliRunner().invoke(app, ["pairs", str(docs), "--plan", "--json", *prices]).output)
    assert priced["usd"] == pytest.approx((2 * found["prompt_tokens"] + 10 * found["completion_tokens"]) / 1e6)
    given = ["pairs", str(docs), "--out", str(tmp_path / "out"), "--model", "m"]
    for wrong, said in [
        (["--base-url", url, "--api-key-env", "NO_SUCH_KEY"], "environment variable NO_SUCH_KEY is not set"),
        (["--base-url", "http://user:secret@host/v1"], "must hold no user, password or query"),
    ]:
        refused = CliRunner().invoke(app, [*given, *wrong])
        assert isinstance(refused.exception, UserError) and said in str(refused.exception)
        assert not (tmp_path / "out").exists() and "user:secret" not in str(refused.exception)
    missing = CliRunner().invoke(app, ["pairs", str(docs)])
    assert isinstance(missing.exception, UserError) and "--out" in str(missing.exception)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "a.md").write_text("The valve opens at 9 bar.")
    with serving(Served) as broken, pytest.raises(UserError, match="the model answered none of 1 requests"):
        pairs.make(tmp_path / "few", tmp_path / "none", *[Model(name="broken", base_url=broken)] * 2)


@pytest.mark.slow
def test_five_hundred_pages_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of three passages each; what it took with a model that answers at once is printed. A second run asks nothing."""
    (tmp_path / "docs").mkdir()
    draws = random.Random("pages")
    for number in range(500):
        parts = [" ".join([letters(draws, 5) for _ in range(110)] + [letters(draws, 16) + "."]) for _ in range(3)]
        (tmp_path / "docs" / f"page-{number:03}.md").write_text(f"# Page {number}\n\n" + "\n\n".join(parts))
    with serving(Chatty) as url:
        model, begin, asked = Model(name="scripted", base_url=url), time.monotonic(), len(ASKED)
        found = pairs.make(tmp_path / "docs", tmp_path / "out", model, model)
        with capsys.disabled():
            took = time.monotonic() - begin
            print(f"\n500 pages: {len(ASKED) - asked:,} requests, {sum(found.kept.values()):,} pairs, {took:.0f} s")
        assert sum(found.kept.values()) > 1000
        asked = len(ASKED)
        assert pairs.make(tmp_path / "docs", tmp_path / "out", model, model).kept == found.kept and len(ASKED) == asked


@pytest.mark.heavy
def test_wrong_pairs_of_a_known_truth_rarely_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On the plant every third draft is wrong, on purpose; the micro model checks. What passes is counted."""
    with serving(Plant) as url:
        (tmp_path / "pages").mkdir()
        rows = [json.loads(line) for line in (MINI / "corpus.jsonl").read_text().splitlines()]
        two_a_document = [row | {"group": f"document {n // 2}"} for n, row in enumerate(rows)]
        (tmp_path / "pages" / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in two_a_document))
        plant, micro = Model(name="plant", base_url=url), Model(name=str(MICRO))
        made = pairs.make(tmp_path / "pages", tmp_path / "plant", plant, micro, prompt=pairs.MICRO)
    task = native.read_folder(made.folder)
    kinds = Counter(e.stratum for split in (task.train, task.dev, task.test) for e in split)
    told = {
        why: made.dropped[why] for why in ("answered with one of its two passages", "not answered so with its passage")
    }
    every = [e for e in (*task.train, *task.dev, *task.test) if e.stratum == "single"]
    wrong = [e for e in every if e.answers and e.answers[0].lower() != TRUTH[e.question.text][0].lower()]
    said = [json.loads(line)["said"] for line in (made.folder / pairs.SAID).read_text().splitlines()]
    drafts = {text.split("\n")[0][10:]: text.split("Answer: ")[1] for text in said if "\nAnswer: " in text}
    planted = [question for question, answer in drafts.items() if answer.lower() != TRUTH[question][0].lower()]
    with capsys.disabled():
        print(
            f"\n{len(drafts)} drafts, {len(planted)} of them wrong: {len(wrong)} pass "
            f"({len(wrong) / len(planted):.0%});"
            f" {len(every)} pairs kept, {len(wrong) / len(every):.0%} of them wrong; all pairs {dict(kinds)}, {told}"
        )
    # what is said to need two passages needs one, and what is said to be a rewording asks something else: none is kept
    assert told["answered with one of its two passages"] >= 5 and kinds["multi"] <= 1
    reworded = [e for split in (task.train, task.dev, task.test) for e in split if e.stratum == "paraphrase"]
    assert sum(e.answers[0].lower() != TRUTH[e.question.text][0].lower() for e in reworded if e.answers) <= 1
    assert made.dropped["not answered so with its passage"] > 0
    assert len(planted) >= 8 and len(wrong) / len(planted) <= 0.1
    assert len(every) >= 10 and len(wrong) / len(every) <= 0.1
