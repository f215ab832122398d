"""Answers in other languages and scripts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.core.normalisation import length, likely_language, normalise, unit
from bench.core.vocabulary import Answer, Hit
from bench.execution.run import run
from bench.metrics import answer, grounding, text
from bench.metrics.abstention import abstains
from bench.report import report
from bench.spec.load import parse
from tests.conftest import raw_spec, scores_json


@pytest.mark.parametrize(
    ("said", "language", "plain"),
    [
        ("The pump's 14 rpm!", "en", "pumps 14 rpm"),  # as SQuAD has it
        ("\u00bfLa bomba, el motor?", "es", "bomba motor"),
        ("\u201eDer Motor\u201c", "de", "motor"),
        ("L\u2019eau de la pompe", "fr", "eau de pompe"),
        ("\u0627\u0644\u0645\u0636\u062e\u0629\u060c", "ar", "\u0645\u0636\u062e\u0629"),
        ("\uff11\uff14 \uff32\uff30\uff2d", "other", "14 rpm"),  # full width
        ("\u6cf5\u8f6c\u901f14rpm\u3002", "zh", "\u6cf5 \u8f6c \u901f 14rpm"),
        ("\u30dd\u30f3\u30d7", "ja", "\u30dd \u30f3 \u30d7"),
        ("ni\u00f1o nin\u0303o", "es", "ni\u00f1o ni\u00f1o"),  # composed and decomposed are one
    ],
)
def test_normalisation(said: str, language: str, plain: str) -> None:
    assert normalise(said, language) == plain


def test_measures_follow_the_language() -> None:
    assert (
        text.squad("Los motores.", ["motores"], "es") == (1.0, 1.0) and text.squad("Los motores.", ["motores"])[0] == 0
    )
    assert text.squad("\u5317\u4eac\u5e02", ["\u5317\u4eac"], "zh") == (0.0, 0.8)  # two of three characters
    assert text.contains("\u5b83\u5728\u5317\u4eac\u3002", ["\u5317\u4eac"], "zh") == 1.0
    assert text.rouge_l("\u043d\u0430\u0441\u043e\u0441", ["\u041d\u0430\u0441\u043e\u0441!"], "other") == 1.0
    assert grounding.k_precision("\u5317\u4eac", ["\u5b83\u5728\u5317\u4eac\u3002"], "zh") == 1.0


def test_abstaining_in_other_scripts() -> None:
    phrases = ["\u6211\u4e0d\u77e5\u9053", "no lo s\u00e9"]
    assert abstains("\u6211\u4e0d\u77e5\u9053\u3002\u4f46\u662f\u2026", phrases)
    assert abstains("No lo s\u00e9. El texto no lo dice.", phrases) and not abstains("\u5317\u4eac", phrases)


def test_a_dataset_says_its_language(tmp_path: Path) -> None:
    """From the spec to the scores and the page; the echo kind answers with the last word of the question."""
    (tmp_path / "corpus.jsonl").write_text('{"id": "p", "text": "\u05d4\u05de\u05e9\u05d0\u05d1\u05d4"}\n')
    rows = [
        {"id": f"q{i}", "question": f"Los {i} motores?", "answers": ["los motores"], "gold": ["p"]} for i in range(12)
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    means = {}
    for language in ("en", "es"):
        spec = parse(raw_spec(name=language, dataset={"path": str(tmp_path), "language": language}))
        outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
        means[language] = scores_json(outcome.folder)["systems"]["echo"]["scores"]["em"]["mean"]
        assert '<span dir="auto">Los ' in report(outcome.folder).read_text()
    assert means == {"en": 0.0, "es": 1.0}
    records = (tmp_path / "r" / "es" / "records.jsonl").read_text()
    assert '"language": "es"' in records


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The pump of the hall runs at 14 rpm, and a valve opens.", "en"),
        ("Die Pumpe der Halle l\u00e4uft mit 14 U/min, und ein Ventil \u00f6ffnet.", "de"),
        ("La bomba de la sala gira a 14 rpm y las v\u00e1lvulas se abren en el muro.", "es"),
        ("Les pompes du hall et l'eau des cuves, une vanne s'ouvre.", "fr"),
        ("De pomp van het gebouw draait, een klep opent de leiding.", "nl"),
        ("\u30dd\u30f3\u30d7\u306f\u6bce\u520614\u56de\u8ee2\u3059\u308b\u3002", "ja"),
        ("\u6cf5\u6bcf\u5206\u949f\u8f6c14\u5708\u3002", "zh"),
        ("\u0627\u0644\u0645\u0636\u062e\u0629 \u062a\u062f\u0648\u0631", "ar"),
        ("\u041d\u0430\u0441\u043e\u0441 \u0440\u0430\u0431\u043e\u0442\u0430\u0435\u0442", "other"),
        ("Resini 63: 14 Nm", "en"),
    ],
)
def test_the_likely_language_by_hand(text: str, language: str) -> None:
    assert likely_language(text) == language


def test_lengths_are_of_characters_where_no_words_are_set_apart() -> None:
    assert length("The pump runs.", "en") == 3 and unit("en") == "words"
    assert length("\u6cf5 \u4ee5\u5341\u56db\u8f6c\u8fd0\u884c\u3002", "zh") == 8 and unit("ja") == "characters"


@pytest.mark.parametrize(
    ("said", "reference", "language", "same"),
    [
        ("\u0915\u0947\u0932\u093e", "\u0915\u093e\u0932\u093e", "hi", 0),  # banana and black: vowel signs are letters
        ("\u0915\u093e\u0932\u093e", "\u0915\u093e\u0932\u093e", "hi", 1),
        ("1,200 m", "1200 m", "de", 0),
        ("1200 Euro", "1.200 Euro", "de", 1),
    ],
)
def test_strict_exact_match_reads_the_language(said: str, reference: str, language: str, same: float) -> None:
    assert text.strict(said, [reference], language) == same


def test_the_marks_of_citations_are_no_words_of_the_answer() -> None:
    shown = (Hit("c", "p", "Its 10 valves.", 1.0),)
    cites, plain = (record("10 valves [1]", shown), record("10 valves [1]", None))
    for measure in (answer.em, answer.em_strict, answer.numeric):
        assert measure(cites, ()) == 1.0
    assert answer.em(plain, ()) == 0.0  # it shows no passages, so that this is what it says
    assert answer.numeric(record("5 valves [10].", shown), ()) == 0.0


def record(said: str, hits: Any) -> Any:
    """An answer to a question whose reference is 10 valves."""
    return SimpleNamespace(answer=Answer(said, hits), answers=("10 valves",), language="en", text="How many?")
