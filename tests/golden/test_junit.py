"""The gate's JUnit against a schema, which is itself held to what pytest writes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from bench.gate import outputs
from bench.scoring.schema.gate import Result, State

etree = pytest.importorskip("lxml.etree", reason="lxml is not installed")
SCHEMA = Path(__file__).parent / "junit.xsd"


def errors(text: bytes) -> list[str]:
    schema = etree.XMLSchema(etree.parse(SCHEMA))
    return [] if schema.validate(etree.fromstring(text)) else [str(e) for e in schema.error_log]


def test_every_state_in_hostile_words_is_valid() -> None:
    words = "<b>\x00\ud800]]> & \"'\u2028"
    results = [Result(f"em within 0.02 {words}", words, s, 0.5, None, -0.1, None, 0.1, words) for s in get_args(State)]
    assert errors(outputs.junit(results, name=words).encode()) == []
    assert errors(outputs.junit([], name="empty").encode()) == []


def test_pytest_writes_what_the_schema_says(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "import pytest\n\ndef test_good(): print('said')\n\ndef test_bad(): assert 0\n\n"
        "@pytest.mark.skip(reason='why')\ndef test_left(): pass\n\n"
        "@pytest.fixture\ndef broken(): raise OSError\n\ndef test_error(broken): pass\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:ragtune",
        "--junitxml",
        "out.xml",
        "-c",
        "none.ini",
        "--rootdir",
        ".",
        ".",
    ]
    (tmp_path / "none.ini").write_text("[pytest]\n")
    subprocess.run(command, cwd=tmp_path, check=False, capture_output=True)
    assert errors((tmp_path / "out.xml").read_bytes()) == []


@pytest.mark.parametrize(
    "text",
    [
        b"<testsuites><testsuite/></testsuites>",
        b"<testsuite name='x' tests='many'/>",
        b"<testsuite name='x'><testcase/></testsuite>",
        b"<testsuite name='x'><testcase name='y'><broken/></testcase></testsuite>",
    ],
)
def test_what_is_no_junit_is_refused(text: bytes) -> None:
    assert errors(text)
