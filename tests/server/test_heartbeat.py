# SPDX-License-Identifier: MIT
import asyncio
import threading
import time

from ashapp.server.heartbeat import Counter, Heartbeat, StallDetector, Watchdog
from tests.support.waiting import PATIENCE, eventually


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
