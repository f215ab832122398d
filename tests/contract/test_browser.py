"""The report as a reader meets it: in Chromium, with and without script, by keyboard, in the dark, narrow, printed."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.core.files import read_jsonl
from bench.core.vocabulary import Question, read_record
from bench.execution.run_file import read_run
from bench.verdict.score import read_scores, scores
from systems.parts.prompt import messages

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page with everything that it said or asked for."""

    def __init__(self, browser: Any, folder: Path, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(**context).new_page()
        self.page.on("console", lambda m: self.said.append(m.text))
        self.page.on("pageerror", lambda e: self.said.append(str(e)))
        self.page.on("dialog", lambda d: (self.said.append(f"dialog {d.message}"), d.dismiss()))
        self.page.on("request", lambda r: self.asked.append(r.url))
        self.page.goto((folder / "index.html").as_uri())


def test_a_hostile_run_runs_nothing(browser: Any, hostile: Path) -> None:
    opened = Opened(browser, hostile)
    opened.page.locator("#asked details.question").first.wait_for()
    opened.page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    opened.page.locator(".question tbody").first.wait_for(state="attached")  # questions are filled when they are opened
    assert opened.said == [] and len(opened.asked) == 1
    assert "alert('x')" in opened.page.locator("body").inner_text()  # shown, as the text that it is
    assert (
        opened.page.evaluate(
            "document.querySelectorAll('[onerror], [onload], [onfocus], main a[href]:not([href^=\"#\"])').length"
        )
        == 0
    )


def test_readable_without_script(browser: Any, hostile: Path) -> None:
    opened = Opened(browser, hostile, java_script_enabled=False)
    text = opened.page.locator("main").inner_text()
    headings = opened.page.locator("h2").all_inner_texts()
    assert headings[0] == "Decision" and {"Questions #", "Caveats #", "Details #"} <= set(headings)
    assert "exact match" in text and opened.page.locator(".filter, .sort").count() == 0
    assert opened.page.locator(".chart svg").first.is_visible()
    assert opened.page.locator("details.question").count() > 5


def test_every_control_is_reached_by_keyboard(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    page.locator("#asked details.question").first.wait_for()  # the script has listed the questions
    count = page.evaluate("""() => {
        const all = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex='0']")];
        const seen = all.filter((e) => e.checkVisibility() && !e.disabled);
        seen.forEach((e, i) => (e.dataset.place = i));
        return seen.length;
    }""")
    places = []
    for _ in range(count):
        page.keyboard.press("Tab")
        places.append(int(page.evaluate("document.activeElement.dataset.place ?? -1")))
    assert places == list(range(count)) and count > 20  # all of them, in the order of the page
    page.locator(".skip").focus()
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.locator("details.question:not([open]) summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("details.question[open]").count() == 1


def test_sorting_by_keyboard(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    page.locator("#machine > summary").click()
    table = page.locator("#machine > .scroll table").first
    table.locator(".sort").nth(1).focus()
    page.keyboard.press("Enter")
    seconds = [_ms(t) for t in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]
    assert seconds == sorted(seconds, reverse=True)
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    assert [_ms(t) for t in table.locator("tbody tr td:nth-child(2)").all_inner_texts()] == sorted(seconds)


def _ms(text: str) -> float:
    number, unit = re.match(r"([\d.]+) (\S+)", text).groups()
    return float(number) * {"µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def test_every_question_is_found_filtered_and_linked_to(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    page.locator("#asked details.question").first.wait_for()
    told = page.locator("section[aria-labelledby=questions] output")
    first, last, every = map(int, re.findall(r"\d+", told.inner_text()))
    assert (first, last) == (1, 10) and page.locator("details.question").count() == 10 < every
    page.get_by_role("button", name="Next").click()
    assert told.inner_text().startswith("11 to ")
    page.get_by_label("Outcome", exact=True).select_option(index=1)
    page.get_by_label("Type", exact=True).select_option(index=1)
    fewer = int(re.findall(r"\d+", told.inner_text())[-1]) if told.inner_text() != "none" else 0
    assert fewer < every
    page.get_by_label("Outcome", exact=True).select_option(index=0)
    question = page.locator("details.question").last
    ident = question.get_attribute("id").removeprefix("question-")
    question.locator("summary").first.click()
    question.get_by_role("link", name="link to this question").click()
    assert page.evaluate("location.hash") == f"#q={ident}"
    page.goto(f"{(hostile / 'index.html').as_uri()}?again#q={ident}")  # as a stranger opens it
    opened = page.locator(f"[id='question-{ident}'][open]")
    opened.wait_for()
    assert "Right answer" in opened.inner_text() and opened.locator("tbody tr").count() >= 2
    opened.get_by_role("link", name="previous").click()
    before = page.locator("details.question[open]")
    assert (
        page.evaluate("location.hash") == f"#q={before.get_attribute('id').removeprefix('question-')}" != f"#q={ident}"
    )
    before.get_by_role("link", name="next").click()
    assert page.evaluate("location.hash") == f"#q={ident}"
    page.goto(f"{(hostile / 'index.html').as_uri()}?more#q=nobody")
    told.filter(has_text="There is no question nobody.").wait_for()


def test_failures_are_followed_to_their_questions_and_prompts(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    page.locator("#asked details.question").first.wait_for()
    page.locator("#outcomes summary").click()
    link = page.locator("#outcomes tbody a").last
    count = link.inner_text()
    link.click()
    told = page.locator("section[aria-labelledby=questions] output")
    assert re.findall(r"\d+", told.inner_text())[-1] == count
    system = page.get_by_label("System", exact=True).input_value()
    question = page.locator("#asked details.question").first
    question.locator("summary").first.click()
    prompt = question.locator("details", has_text="Prompt as sent to").filter(has_text=system).first
    prompt.locator("summary").click()
    asked = question.get_attribute("id").removeprefix("question-")
    records = (read_record(row) for _, row in read_jsonl(hostile / "records.jsonl"))
    record = next(r for r in records if (r.system, r.question) == (system, asked))
    passages = [(h.title, h.text) for h in record.answer.held] if record.answer.hits is not None else None
    question_ = Question(asked, record.text, choices=record.choices)
    sent = messages(read_run(hostile).systems[system].prompt, question_, passages)
    assert prompt.locator("pre").text_content() == "\n\n".join(m["content"] for m in sent)


def test_the_scores_of_the_whole_run_are_saved(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    saved = {}
    for kind in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.locator("#scores-saves").get_by_role("button", name=f"Save as {kind}").click()
        saved[kind] = Path(download.value.path()).read_text()
    assert json.loads(saved["JSON"]) == read_scores(hostile).model_dump(mode="json")
    rows = list(csv.DictReader(saved["CSV"].splitlines()))
    frame = scores(hostile)
    assert len(rows) == len(frame) and [r["status"] for r in rows] == list(frame["status"])
    means = [float(r["mean"] or "nan") for r in rows]
    assert means == pytest.approx(list(frame["mean"].astype(float)), nan_ok=True)


def test_any_two_systems_are_set_side_by_side(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    names = page.get_by_label("First", exact=True).locator("option").all_inner_texts()
    before = page.locator("#pair tbody tr td:nth-child(2)").all_inner_texts()
    page.get_by_label("First", exact=True).select_option(names[0])
    page.get_by_label("Second", exact=True).select_option(names[-1])
    assert page.locator("#pair thead th").all_inner_texts()[1:] == [names[0], names[-1]]
    address = page.evaluate("location.hash")
    after = page.locator("#pair tbody tr td:nth-child(2)").all_inner_texts()
    again = Opened(browser, hostile).page
    again.goto(f"{(hostile / 'index.html').as_uri()}?again{address}")
    assert again.locator("#pair tbody tr td:nth-child(2)").all_inner_texts() == after
    assert again.locator("#pair thead th").all_inner_texts()[1:] == [names[0], names[-1]]
    assert len(after) == len(before) > 5
    for side, name in (("First", names[-1]), ("Second", names[0])):
        again.get_by_label(side, exact=True).select_option(name)
    again.locator("nav a").last.click()  # another link leaves the choice as it is
    assert again.locator("#pair thead th").all_inner_texts()[1:] == [names[-1], names[0]]


def test_what_is_linked_to_is_opened_and_all_at_once(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    page.goto(f"{(hostile / 'index.html').as_uri()}?again#reproduce")
    assert page.locator("#reproduce[open]").count() == 1 and page.locator("#quality[open]").count() == 0
    page.get_by_role("button", name="Open all").click()
    assert page.locator("details.fold:not([open])").count() == 0
    page.get_by_role("button", name="Close all").click()
    assert page.locator("details.fold[open]").count() == 0


def test_figures_are_saved_as_they_are_drawn(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    figure = page.locator("figure:visible").first
    figure.locator("summary").click()
    saved = {}
    for label in ("Save as SVG", "Save as CSV"):
        with page.expect_download() as download:
            figure.get_by_role("button", name=label).click()
        saved[label] = Path(download.value.path()).read_text()
    assert saved["Save as SVG"].startswith("<svg")
    rows = list(csv.DictReader(saved["Save as CSV"].splitlines()))
    assert rows and all(0.0 <= float(row["low"]) <= float(row["mean"]) <= float(row["high"]) <= 1.0 for row in rows)


PUBLISHED = Path(__file__).resolve().parents[2] / "reports" / "published" / "quickstart-cpu"


@pytest.mark.parametrize(("width", "most"), [(390, 12_000), (768, 9_000), (1280, 7_000), (1920, 7_000)])
def test_the_published_page_is_short_and_its_first_screen_decides(browser: Any, width: int, most: int) -> None:
    page = Opened(browser, PUBLISHED, viewport={"width": width, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollHeight") < most
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".lead").bounding_box()["y"] < 400
    if width >= 1280:
        last = page.locator("section[aria-labelledby=verdict] > ul").last.bounding_box()
        assert last["y"] + last["height"] < 800 > page.locator("#leading tbody tr").first.bounding_box()["y"]


@pytest.mark.parametrize("width", [390, 1280])
def test_no_heading_that_is_linked_to_stands_under_the_bar(browser: Any, width: int) -> None:
    """And a link to the section of two systems leaves the two that were chosen."""
    page = Opened(browser, PUBLISHED, viewport={"width": width, "height": 800}).page
    page.get_by_label("First", exact=True).select_option("lora")
    for link in page.locator("nav a").all()[1:-2]:
        link.click()
        bar, title = page.locator("nav").bounding_box(), page.locator(f"h2{link.get_attribute('href')}").bounding_box()
        assert title["y"] >= bar["y"] + bar["height"] - 1
    assert page.get_by_label("First", exact=True).input_value() == "lora"


def test_money_at_other_volumes(browser: Any, hostile: Path) -> None:
    """At the spec's volumes the script says what Python wrote; a tenth of the questions cost less."""
    page = Opened(browser, hostile).page
    page.locator("#money > summary").click()
    cells = page.locator("td[data-fixed]")
    written = cells.all_inner_texts()
    asked = page.locator("#money-questions")
    before = asked.input_value()
    asked.fill("1")
    asked.fill(before)
    assert cells.all_inner_texts() == written and len(written) == 2
    asked.fill("1000000000")
    dear = [float(t.removeprefix("$").replace(",", "")) for t in cells.all_inner_texts()]
    asked.fill("100000000")
    assert all(
        float(t.removeprefix("$").replace(",", "")) < d for t, d in zip(cells.all_inner_texts(), dear, strict=True)
    )
    assert "100,000,000 questions" in page.locator("section[aria-labelledby=cost]").inner_text()


@pytest.mark.parametrize(
    ("width", "scheme", "published"),
    [
        (390, "dark", False),
        (1280, "light", False),
        *(
            pytest.param(*others, marks=pytest.mark.heavy)
            for others in [
                (390, "light", False),
                (768, "dark", False),
                (1280, "light", True),
                (1280, "dark", False),
                (1920, "light", False),
                (1920, "dark", True),
            ]
        ),
    ],
)
def test_axe_finds_nothing_serious(browser: Any, hostile: Path, width: int, scheme: str, published: bool) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = Opened(
        browser, PUBLISHED if published else hostile, color_scheme=scheme, viewport={"width": width, "height": 800}
    ).page
    page.evaluate(
        "document.querySelectorAll('details').forEach((d) => (d.open = true))"
    )  # what is closed is not looked at
    found = axe.run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [390, 768, 1280])
def test_no_text_of_a_chart_is_too_small_to_read(browser: Any, width: int) -> None:
    page = Opened(browser, PUBLISHED, viewport={"width": width, "height": 800}).page
    page.get_by_role("button", name="Open all").click()
    sizes = page.evaluate("""() => [...document.querySelectorAll(".chart svg")].filter((s) => s.checkVisibility()).map(
        (s) => s.getBoundingClientRect().width / s.viewBox.baseVal.width)""")
    assert len(sizes) > 5 and min(sizes) * 11 >= 10.9  # a text of a chart is 11 px or more at its own size


def test_narrow_screens_scroll_tables_and_not_the_page(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile, viewport={"width": 360, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.heavy
def test_print_has_what_is_open_and_fits(browser: Any, hostile: Path, tmp_path: Path) -> None:
    import pypdf

    def printed(page: Any) -> list[str]:
        page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
        return [p.extract_text() for p in pypdf.PdfReader(tmp_path / "report.pdf").pages]

    page = Opened(browser, hostile).page
    short = "".join(printed(page))
    assert "All pairs" in short and "p, Holm" not in short
    page.get_by_role("button", name="Open all").click()
    assert "p, Holm" in "".join(printed(page))
    assert len(printed(Opened(browser, PUBLISHED).page)) < 8
