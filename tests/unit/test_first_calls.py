"""The first call of a mathematics function gives what the second gives, whatever else runs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from bench.core import first_calls
from bench.core.blocks import Embedder, Model
from systems.parts import embed, lm

COSINES = """
import sys
import torch
from bench.core import first_calls
torch.set_num_threads(2)
if sys.argv[1] == "resolved":
    first_calls.resolve()
x = torch.arange(14320, dtype=torch.float32) / 40
x.view(358, 40) @ x.view(40, 358)  # threads are at work
first, second = x.cos(), x.cos()
print(int(torch.equal(first, second)))
"""


@pytest.mark.parametrize(
    "load",
    [
        lambda: lm.load(Model(name="systems/micro/lm"), precision="full"),
        lambda: embed.load(Embedder(name="systems/micro/embedder"), device="cpu"),
    ],
    ids=["model", "embedder"],
)
def test_whoever_loads_a_model_has_called_each_function_once(load: Callable[[], object]) -> None:
    first_calls.resolve.cache_clear()
    load()
    assert first_calls.resolve.cache_info().currsize == 1


def test_every_function_is_one_of_torch() -> None:
    assert all(callable(getattr(torch, name)) for name in first_calls.FUNCTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["resolved", pytest.param("at once", marks=pytest.mark.xfail(strict=False))])
def test_many_processes_that_start_at_once_agree_with_themselves(way: str) -> None:
    """`at once` is the fault itself: 3 of 60 processes on two cores; a torch whose library is mended passes it."""
    for _ in range(15):
        started = [
            subprocess.Popen([sys.executable, "-c", COSINES, way], stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        assert [process.communicate()[0].strip() for process in started] == ["1"] * 4
