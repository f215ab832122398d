"""The report as a reader meets it: in Chromium, with and without script, by keyboard, in the dark, narrow, printed."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
    for summary in opened.page.locator("summary:visible").all():
        summary.click()
    opened.page.wait_for_timeout(100)
    assert opened.said == [] and len(opened.asked) == 1
    assert "alert('x')" in opened.page.locator("body").inner_text()  # shown, as the text that it is
    assert opened.page.evaluate("document.querySelectorAll('[onerror], [onload], [onfocus], main a[href]').length") == 0


def test_readable_without_script(browser: Any, hostile: Path) -> None:
    opened = Opened(browser, hostile, java_script_enabled=False)
    text = opened.page.locator("main").inner_text()
    headings = opened.page.locator("h2").all_inner_texts()
    assert headings[0] == "Verdict" and {"Quality", "Questions", "Caveats", "Reproduce"} <= set(headings)
    assert "Exact match" in text and opened.page.locator(".filter, .sort").count() == 0
    assert opened.page.locator(".chart svg").first.is_visible()


def test_every_control_is_reached_by_keyboard(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    count = page.evaluate("""() => {
        const all = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex='0']")];
        const seen = all.filter((e) => e.checkVisibility());
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
    assert page.locator("details.question[open]").count() == 2


def test_sorting_by_keyboard(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    table = page.locator("section[aria-labelledby=machine] > .scroll table").first
    table.locator(".sort").nth(1).focus()
    page.keyboard.press("Enter")
    seconds = [_ms(t) for t in table.locator("tbody tr td:nth-child(2)").all_inner_texts()]
    assert seconds == sorted(seconds, reverse=True)
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "ascending"
    assert [_ms(t) for t in table.locator("tbody tr td:nth-child(2)").all_inner_texts()] == sorted(seconds)


def _ms(text: str) -> float:
    number, unit = re.match(r"([\d.]+) (\S+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"µs": 1e-3, "ms": 1.0, "s": 1e3}[unit]


def test_questions_are_filtered(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile).page
    every = page.locator("details.question").count()
    assert page.locator("output").inner_text() == f"{every} of {every} shown"
    outcome = page.get_by_label("Outcome", exact=True)
    outcome.select_option(index=1)
    shown = page.locator("details.question:visible").count()
    assert page.locator("output").inner_text() == f"{shown} of {every} shown" and shown <= every
    page.get_by_label("Stratum", exact=True).select_option(index=1)
    assert page.locator("details.question:visible").count() < every


def test_money_at_other_volumes(browser: Any, hostile: Path) -> None:
    """At the spec's volumes the script says what Python wrote; a tenth of the questions cost less."""
    page = Opened(browser, hostile).page
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser: Any, hostile: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = Opened(browser, hostile, color_scheme=scheme).page
    page.evaluate(
        "document.querySelectorAll('details').forEach((d) => (d.open = true))"
    )  # what is closed is not looked at
    found = axe.run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


def test_narrow_screens_scroll_tables_and_not_the_page(browser: Any, hostile: Path) -> None:
    page = Opened(browser, hostile, viewport={"width": 360, "height": 800}).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_print_opens_what_is_closed_and_fits(browser: Any, hostile: Path, tmp_path: Path) -> None:
    import pypdf

    page = Opened(browser, hostile).page
    page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    text = "".join(p.extract_text() for p in pypdf.PdfReader(tmp_path / "report.pdf").pages)
    assert "Verdict" in text and "All pairs" in text and "p, Holm" in text  # a table that the screen has folded
