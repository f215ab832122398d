"""A kind from outside the package: answers with the question's last word, and misbehaves when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.core.store import Store
from bench.core.system import System, SystemConfig
from bench.core.vocabulary import Answer, Material, Question


class Config(SystemConfig):
    fault: Literal["none", "raise", "kill", "hang", "memory", "short", "tell", "shout", "leave"] = "none"
    after: int = 10  # questions before the fault
    delay_s: float = 0.0  # of each question
    gate: str | None = None  # file that must be there before a question after those is answered
    file: str = ""  # what it says before it fails, where it shouts
    tally: str | None = None  # file that gets a line for each question answered
    once: bool = False  # the fault happens only while the tally is shorter than `after`


@dataclass
class Echo:
    config: Config
    count: int = 0

    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        return [self._one(q) for q in questions][: 0 if self.config.fault == "short" else None]

    def _one(self, q: Question) -> Answer:
        self.count += 1
        time.sleep(self.config.delay_s)
        if self.count > self.config.after:
            self._await_gate()
            self._fail()
        if self.config.tally:
            with Path(self.config.tally).open("a") as f:
                f.write(q.id + "\n")
        if q.gold:
            return Answer("", error="the harness leaked gold passages")
        return Answer(q.text.split()[-1], prompt_tokens=len(q.text.split()), completion_tokens=1)

    def _await_gate(self) -> None:
        while self.config.gate and not Path(self.config.gate).exists():
            time.sleep(0.01)

    def _fail(self) -> None:
        match self.config.fault:
            case "raise":
                raise ValueError("<script>alert('planted')</script>")
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                subprocess.Popen(["sleep", "600"])  # a grandchild that must go too
                subprocess.Popen(
                    ["sleep", "600"], start_new_session=True
                )  # and one that the group's end does not reach
                time.sleep(600)
            case "tell":
                print("the password is", os.environ["PLANTED_PASSWORD"], flush=True)
                raise ValueError(f"the password is {os.environ['PLANTED_PASSWORD']}")
            case "leave":
                left = subprocess.Popen(["sleep", "601"], start_new_session=True)
                Path(self.config.file).write_text(str(left.pid))
                raise ValueError("planted")
            case "shout":
                print(Path(self.config.file).read_text(), flush=True)
                raise ValueError(Path(self.config.file).read_text())
            case "memory":
                raise MemoryError("planted")

    def refresh(self, material: Material) -> None:
        return None

    def index_recall(self, questions: Sequence[Question]) -> list[float] | None:
        return None


def build(config: Config, material: Material, store: Store) -> System:
    return Echo(config)
