# SPDX-License-Identifier: MIT
import pytest

from tests.benchmarks import greenlets
from tests.benchmarks.greenlets import BEHAVIOURS, LOOPS, WAYS, behaves, memory, microseconds


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_our_fibers_behave(behaviour: str, loop: str) -> None:
    assert behaves(behaviour, WAYS["greenlet"], loop)


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize("way", [None, WAYS["greenlet"]], ids=["plain", "greenlet"])
def test_costs_are_told(way: greenlets.Way | None, waits: int) -> None:
    assert 0 < microseconds(way, waits, repeats=100, rounds=2) < 10_000


@pytest.mark.parametrize("name", ["", "greenlet"])
def test_memory_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greenlets, "_resident", iter([1000, 1500]).__next__)
    assert memory(name, calls=200) == 2.5
