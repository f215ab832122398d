"""Secrets that really try to get out: in an answer, in an error, in a log, in a URL."""

from __future__ import annotations

import base64
import html
import json
import os
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from bench import parse
from bench.core.errors import UserError
from bench.core.redact import HIDDEN, redacted, scrubbed
from bench.execution.cell_client import CellServer, ServerDied
from bench.execution.run import run
from bench.report import report
from bench.verdict.score import score
from tests.conftest import EMBEDDER, raw_spec, serving

KEY, PASSWORD = 'sk-"planted"&<1234>', 'pa"ss<wörd>\\12345'


class Blabbing(BaseHTTPRequestHandler):
    """Says every header back: in its answer, or as the reason of its failure."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        said = f"you sent {self.headers['Authorization']} to http://me:hunter22@{self.headers['Host']}/"
        self.send_response(200 if body["model"] == "open" else 500)
        self.end_headers()
        event = json.dumps({"choices": [{"delta": {"content": said}, "finish_reason": "stop"}]})
        self.wfile.write(
            f"data: {event}\n\ndata: [DONE]\n\n".encode() if body["model"] == "open" else ("x" * 180 + said).encode()
        )

    def log_message(self, *_: Any) -> None:
        return None


@pytest.mark.heavy
def test_no_file_of_a_run_holds_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OPENING", KEY)  # secret because the spec names it
    monkeypatch.setenv("PLANTED_PASSWORD", PASSWORD)  # because of its own name
    with serving(Blabbing) as url:
        served = {"name": "open", "base_url": url, "api_key_env": "MY_OPENING"}
        systems = [
            {"name": "open", "kind": "closed_book"},
            {"name": "broken", "kind": "closed_book", "model": {"name": "broken"}},
            {"name": "told", "kind": "tests.kinds.echo", "fault": "tell", "after": 5},
        ]
        spec = parse(raw_spec(model=served, embedder={"name": str(EMBEDDER)}, systems=systems))
        outcome = run(spec, out=tmp_path / "r", store=tmp_path / "s")
    score(outcome.folder)
    report(outcome.folder)
    files = {p: p.read_text(errors="ignore") for p in tmp_path.rglob("*") if p.is_file()}
    for secret in (KEY, PASSWORD, "hunter22"):
        for form in (secret, json.dumps(secret)[1:-1], html.escape(secret), secret[:6]):
            assert [p for p, text in files.items() if form in text] == [], form
    records = files[outcome.folder / "records.jsonl"]
    assert records.count(f"Bearer {HIDDEN}") >= 40 and f"http://{HIDDEN}@" in records  # they were there to be hidden
    log = next(text for p, text in files.items() if p.parent.name == "told-s1" and p.name == "log.txt")
    assert HIDDEN in log and HIDDEN in files[outcome.folder / "run.json"]


def test_what_is_no_secret_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (
        ("TOKENIZERS_PARALLELISM", "parallel1"),
        ("SHORT_KEY", "abc"),
        ("SSH_AUTH_SOCK", str(tmp_path)),
        ("PIN_KEY", "00000000"),
        ("POSTGRES_PASSWORD", "password"),
    ):
        monkeypatch.setenv(name, value)
    text = f"parallel1 abc {tmp_path} 0.30000000000000004 To change the password press F2."
    assert redacted(text) == text
    for url in ("http://example.org/a:b@c", "a@b.example", "https://x.example?mail=me@b.example"):
        assert redacted(f"see {url}") == f"see {url}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "/planted+base64/secret=="),
        ("PGPASSWORD", "hunter22"),
        ("OPENAI_APIKEY", "sk-planted1"),
        ("DB_PASS", "hunter22"),
        ("GH_PAT", "ghp_planted1"),
        ("HF_TOKEN", "hf_planted1"),
    ],
)
def test_what_is_one_goes(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    text = f"a {value} b {base64.b64encode(value.encode()).decode()} c"
    assert redacted(text) == f"a {HIDDEN} b {HIDDEN} c"
    assert scrubbed({"x": [value, 1.5, None]}) == {"x": [HIDDEN, 1.5, None]}


@pytest.mark.parametrize("user", ["me:hunter22", ":hunter3333", "ghp_token123", "me:p@ss"])
def test_urls_lose_who_asks(user: str) -> None:
    assert redacted(f"at redis://{user}@host:1/x") == f"at redis://{HIDDEN}@host:1/x"


def test_inputs_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A corpus that holds somebody's secret is still that corpus: it is trained on and searched as it is."""
    from bench.core.vocabulary import Example, Passage, Question
    from bench.data.formats import native
    from bench.data.task import Task

    monkeypatch.setenv("MY_TOKEN", "tok-1234")
    task = Task("t", (Passage("p", "tok-1234 is it"),), (), (), (Example(Question("q", "?"), ("tok-1234",)),))
    native.write_folder(tmp_path, task)
    again = native.read_folder(tmp_path)
    assert again.corpus[0].text == "tok-1234 is it" and again.test[0].answers == ("tok-1234",)


CANARIES = {  # of each kind of secret, none of which opens anything: (variable or None, what is said, the secret in it)
    "a private key": (
        None,
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEcanary1\nAAbbCCcanary2\n-----END RSA PRIVATE KEY-----",
        "MIIEcanary1",
    ),
    "a lowercase passphrase": ("MY_PASSPHRASE", "it is correcthorsebattery, see", "correcthorsebattery"),
    "a short token": ("X_TOKEN", "with a7-Q9z here", "a7-Q9z"),
    "a Slack webhook": (None, "POST https://hooks.slack.com/services/T0CANARY/B0CANARY/xyzCANARY", "CANARY"),
    "a Discord webhook": (None, "https://discord.com/api/webhooks/1234567890/abc-CANARY_def", "CANARY"),
    "a cookie": (None, "Cookie: sid=CANARYcanary12", "CANARYcanary12"),
    "a JSON Web Token": (
        None,
        "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.c2lnbmF0dXJl",
        "eyJzdWIiOiJDQU5BUlkifQ",
    ),
    "a connection string": (None, "postgresql://me:CANARYpw@db/x", "CANARYpw"),
    "a password in a connection string": (None, "Server=db;Password=CANARYpw1;", "CANARYpw1"),
    "an account key": (None, "AccountName=a;AccountKey=CANARYkey12==;", "CANARYkey12"),
    "base64 of user and key": (
        "MY_API_KEY",
        base64.b64encode(b"me:CANARY-key-9").decode(),
        base64.b64encode(b"me:CANARY-key-9").decode(),
    ),
    "a key of AWS": (None, "AKIACANARY0123456789 in us-east-1", "AKIACANARY0123456789"),
    "a token of GitHub": (None, "remote: ghp_CANARYcanaryCANARYcanaryCANARYcanary", "ghp_CANARY"),
    "a token of the hub": (None, "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", "hf_CANARY"),
    "a long random string": (None, "x-key 9fK2qLr8Zt4WbN7xVc1Jm5Hd3Gs6PyQa", "9fK2qLr8Zt4WbN7xVc1Jm5Hd3Gs6PyQa"),
    "a second cookie": (None, "Cookie: a=1; sid=CANARYcanary34", "CANARYcanary34"),
    "a bare bearer": (None, "sent Bearer CANARYcanary56", "CANARYcanary56"),
    "a quoted password": (None, '{"password": "hun,ter CANARY7"}', "ter CANARY7"),
    "a key of SendGrid": (None, "SG.CANARYcanaryCANARYcana.CANARYcanaryCANARYcanaryCANARY", "SG.CANARY"),
    "a token of Google": (None, "ya29.CANARYcanaryCANARYcanary12", "ya29.CANARY"),
    "a token of DigitalOcean": (None, f"dop_v1_{'ca' * 32}", "dop_v1_caca"),
    "a token of Databricks": (None, f"dapi{'ca' * 16}", "dapicaca"),
    "a token of Shopify": (None, f"shpat_{'ca' * 16}", "shpat_caca"),
    "a token of Vault": (None, "hvs.CANARYcanaryCANARYcanary", "hvs.CANARY"),
    "a key of age": (None, f"AGE-SECRET-KEY-1{'CANARY9' * 9}", "CANARY9CANARY9"),
    "a workflow of Slack": (None, "https://hooks.slack.com/workflows/T0CANARY/A0/1/xyz", "T0CANARY"),
    "a webhook of Teams": (None, "https://x.webhook.office.com/webhookb2/CANARY@1/IncomingWebhook/2", "CANARY"),
    "a long number": ("DB_PASSWORD", "it is 20394857, see", "20394857"),
    "a bearer": (None, "Authorization: Bearer CANARYcanary", "CANARYcanary"),
}
VALUES = {
    "DB_PASSWORD": "20394857",
    "MY_PASSPHRASE": "correcthorsebattery",
    "X_TOKEN": "a7-Q9z",
    "MY_API_KEY": "CANARY-key-9",
}


@pytest.mark.parametrize("kind", CANARIES)
def test_a_canary_of_each_kind_is_redacted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable, said, secret = CANARIES[kind]
    if variable:
        monkeypatch.setenv(variable, VALUES[variable])
    assert secret in said and secret not in redacted(said) and HIDDEN in redacted(said)


def test_what_is_no_secret_stays() -> None:
    told = (
        "ValueError: the tokenizer of systems/micro/lm has 1280 tokens, not 32000",
        f"sha256:{'0123456789abcdef' * 4} at /tmp/pytest-of-root/pytest-12/test_of_something_long0/r/t",
        "torch.nn.modules.module.TransformerEncoderLayerWithoutDropout2 in line 1234",
        "Lower the batch size, or use precision nf4.",
    )
    assert [redacted(text) for text in told] == list(told)
    assert scrubbed("password: 14 Nm") == "password: 14 Nm"


def test_no_file_of_a_run_holds_a_canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said in an error, and printed: the log is redacted while it is written, so that no kill leaves it as it was."""
    for name, value in VALUES.items():
        monkeypatch.setenv(name, value)
    said = "\n".join(said for _, said, _ in CANARIES.values())
    (tmp_path / "said.txt").write_text(said)
    system = {
        "name": "told",
        "kind": "tests.kinds.echo",
        "fault": "shout",
        "after": 3,
        "file": str(tmp_path / "said.txt"),
    }
    outcome = run(parse(raw_spec(systems=[system])), out=tmp_path / "r", store=tmp_path / "s")
    assert outcome.failed
    files = {p: p.read_text(errors="ignore") for p in (tmp_path / "r").rglob("*") if p.is_file()}
    for kind, (_, _, secret) in CANARIES.items():
        assert [p for p, text in files.items() if secret in text] == [], kind
    assert files[outcome.folder / "cells" / "told-s1" / "log.txt"].count(HIDDEN) >= len(CANARIES)


def test_the_log_of_the_server_is_redacted_while_it_is_written(tmp_path: Path) -> None:
    """What is imported for the cells says every canary, and takes the server down: nobody cleans up after it."""
    said = "".join(f"print({said!r}, flush=True)\n" for _, said, _ in CANARIES.values())
    (tmp_path / "shouting.py").write_text(
        said + "import os, signal, sys\nsys.stderr.write('last words\\n')\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    log = tmp_path / "server.log"
    environment = {name: value for name, value in (VALUES | os.environ).items() if name != "PYTHONPATH"}
    server = CellServer(environment, log, ["shouting"])
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ServerDied):
        patch.syspath_prepend(str(tmp_path))
        server.run(tmp_path / "job.json", timeout_s=60, watch=lambda *_: None)
    server.close()
    while "last words" not in log.read_text():  # its writer outlives the server
        time.sleep(0.01)
    assert [kind for kind, (_, _, secret) in CANARIES.items() if secret in log.read_text()] == []
    assert log.read_text().count(HIDDEN) >= len(CANARIES)


def test_a_log_that_is_a_link_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("kept")
    spec = parse(raw_spec())
    folder = tmp_path / "r" / spec.name
    folder.mkdir(parents=True)
    (folder / "server.log").symlink_to(outside)
    with pytest.raises(UserError, match="this is a link"):
        run(spec, out=tmp_path / "r", store=tmp_path / "s")
    assert outside.read_text() == "kept"
