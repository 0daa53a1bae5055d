# SPDX-License-Identifier: MIT
import asyncio
import threading
import time

import pytest

from ashapp.server.health.heartbeat import Counter, Heartbeat, Pulse, StallDetector, Watchdog
from tests.support.waiting import PATIENCE, eventually, until


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def looks(detector: StallDetector, clock: Clock, beats: int, seconds: float) -> list[bool]:
    """Look every half second for so many seconds."""
    seen = []
    for _ in range(int(seconds * 2)):
        clock.now += 0.5
        seen.append(detector.is_stalled(beats))
    return seen


def test_a_loop_that_does_not_beat_for_the_time_is_stalled() -> None:
    clock = Clock()
    detector = StallDetector(3, clock)
    assert looks(detector, clock, 1, 3) == [False] * 6
    assert looks(detector, clock, 1, 1) == [True] * 2


def test_a_loop_that_beats_is_not_stalled() -> None:
    clock = Clock()
    detector = StallDetector(3, clock)
    for beats in range(20):
        assert not any(looks(detector, clock, beats, 2.5))


def test_who_has_not_looked_for_long_does_not_judge() -> None:
    clock = Clock()
    detector = StallDetector(3, clock)
    looks(detector, clock, 1, 1)
    clock.now += 3600
    assert looks(detector, clock, 1, 3) == [False] * 6
    assert looks(detector, clock, 1, 0.5) == [True]


class Process:
    """A process that is looked at every half second, and whose loop does not beat."""

    def __init__(self, timeout: float) -> None:
        self.clock = Clock()
        self.detector = StallDetector(timeout, self.clock)
        self.pulse = 0

    def looks(self, seconds: float, *, has_pulse: bool) -> list[bool]:
        seen = []
        for _ in range(int(seconds * 2)):
            self.clock.now += 0.5
            self.pulse += has_pulse
            seen.append(self.detector.is_stalled(1, self.pulse))
        return seen


def test_a_loop_that_is_blocked_while_other_threads_run_is_stalled() -> None:
    process = Process(3)
    assert process.looks(3, has_pulse=True) == [False] * 6
    assert process.looks(0.5, has_pulse=True) == [True]


def test_a_loop_that_can_not_run_as_no_thread_can_is_not_stalled() -> None:
    """C code on another thread holds the interpreter's lock."""
    process = Process(3)
    assert process.looks(1, has_pulse=True) == [False] * 2
    assert not any(process.looks(29, has_pulse=False))
    assert not any(process.looks(3, has_pulse=True)), "it begins anew"
    assert process.looks(0.5, has_pulse=True) == [True]


@pytest.mark.parametrize(("timeout", "seconds"), [(3, 30), (40, 40)])
def test_a_process_in_which_no_thread_runs_for_very_long_is_given_up(timeout: float, seconds: float) -> None:
    process = Process(timeout)
    assert not any(process.looks(seconds, has_pulse=False))
    assert process.looks(0.5, has_pulse=False) == [True]


def test_a_thread_beats_by_itself() -> None:
    beats = Counter()
    Pulse(beats, 0.05).start()
    until(lambda: beats.value > 5)


async def test_a_running_loop_beats_by_itself() -> None:
    beats = Counter()
    Heartbeat(beats, 0.05).start()
    assert beats.value == 1
    await eventually(lambda: beats.value > 5)


async def test_the_watchdog_barks_once_when_the_loop_is_blocked() -> None:
    beats = Counter()
    barks: list[float] = []
    barked = threading.Event()

    def bark() -> None:
        barks.append(time.monotonic())
        barked.set()

    Watchdog(beats, 0.5, bark).start()
    await asyncio.sleep(1)
    assert not barks, "the loop has not begun to beat"
    Heartbeat(beats, 0.5).start()
    await asyncio.sleep(0.2)
    began = time.monotonic()
    assert barked.wait(PATIENCE), "this blocks the loop"
    assert barks[0] - began > 0.3
    await asyncio.sleep(0.2)
    assert len(barks) == 1
