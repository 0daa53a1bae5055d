# SPDX-License-Identifier: MIT
import threading
import time

import pytest

from ashapp.server.health.stalls import LocalBeats, StallDetector, call_when_stalled, count_on_thread
from tests.support.waiting import PATIENCE, until


class Process:
    """A process that is looked at every half second; by default its loop does not beat, its pulse does."""

    def __init__(self, timeout: float = 3) -> None:
        self.now = 100.0
        self.detector = StallDetector(timeout, lambda: self.now)
        self.beats = self.pulse = 0

    def looks(self, seconds: float, *, beats: bool = False, pulse: bool = True) -> list[bool]:
        seen = []
        for _ in range(int(seconds * 2)):
            self.now += 0.5
            self.beats += beats
            self.pulse += pulse
            seen.append(self.detector.is_stalled(self.beats, self.pulse))
        return seen


def test_a_loop_that_does_not_beat_for_the_time_is_stalled() -> None:
    process = Process()
    for _ in range(20):
        assert not any(process.looks(2.5))
        assert process.looks(0.5, beats=True) == [False]
    assert process.looks(2.5) == [False] * 5
    assert process.looks(1) == [True] * 2


def test_who_has_not_looked_for_long_does_not_judge() -> None:
    process = Process()
    process.looks(1)
    process.now += 3600
    assert process.looks(3) == [False] * 6
    assert process.looks(0.5) == [True]


def test_a_loop_that_can_not_run_as_no_thread_can_is_not_stalled() -> None:
    """C code on another thread holds the interpreter's lock."""
    process = Process()
    assert process.looks(1) == [False] * 2
    assert not any(process.looks(29, pulse=False))
    assert not any(process.looks(3)), "it begins anew"
    assert process.looks(0.5) == [True]


@pytest.mark.parametrize(("timeout", "seconds"), [(3, 30), (40, 40)])
def test_a_process_in_which_no_thread_runs_for_very_long_is_given_up(timeout: float, seconds: float) -> None:
    process = Process(timeout)
    assert not any(process.looks(seconds, pulse=False))
    assert process.looks(0.5, pulse=False) == [True]


def test_a_thread_counts_by_itself() -> None:
    pulse = LocalBeats()
    count_on_thread(pulse, 0.05)
    until(lambda: pulse.value > 5)


def test_a_stall_is_told_once_and_not_before_the_first_beat() -> None:
    beats, told = LocalBeats(), threading.Event()
    call_when_stalled(beats, 0.5, told.set)
    assert not told.wait(1)
    beats.value += 1
    began = time.monotonic()
    assert told.wait(PATIENCE)
    assert time.monotonic() - began > 0.3
