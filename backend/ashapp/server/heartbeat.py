# SPDX-License-Identifier: MIT
"""The heartbeat of an event loop, and how its absence is noticed from outside.

Theory of operation. A timer of the loop itself counts beats, for only what the loop runs proves that it runs:
a thread of the same process would answer while the loop is blocked. Who watches compares the count with that
of the look before, by a clock of its own. A watcher that has not run for long, because the machine was
suspended or the process stopped, has no right to judge, and begins anew.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Beats", "Counter", "Heartbeat", "StallDetector", "Watchdog"]

# Beats and looks for each time-out: it is kept to within a tenth.
_BEATS = 10
_LONGEST_INTERVAL = 1.0


class Beats(Protocol):
    """Where beats are counted: a `Counter`, or a count in memory that processes share."""

    value: int


class Counter:
    """Counts the beats of a loop for threads of the same process."""

    value = 0


class Heartbeat:
    """Lets a loop beat often enough for a stall of *timeout* seconds to be noticed."""

    def __init__(self, beats: Beats, timeout: float) -> None:
        self._beats = beats
        self._interval = _interval(timeout)

    def start(self) -> None:
        """Let the running loop beat for the rest of its life."""
        loop = asyncio.get_running_loop()
        self._beats.value += 1
        loop.call_later(self._interval, self._beat, loop)

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        self._beats.value += 1
        loop.call_later(self._interval, self._beat, loop)


class StallDetector:
    """Tells from the count of beats whether a loop has been stalled for *timeout* seconds.

    *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self._clock = clock
        self._beats = -1
        self._changed_at = 0.0
        self._looked_at = float("-inf")

    def is_stalled(self, beats: int) -> bool:
        """Look at the count of beats; to be called at least twice for each time-out."""
        now = self._clock()
        was_away = now - self._looked_at > self.timeout / 2
        self._looked_at = now
        if beats != self._beats or was_away:
            self._beats = beats
            self._changed_at = now
        return now - self._changed_at >= self.timeout


class Watchdog:
    """A thread that calls *bark* once if the loop of its process is stalled for *timeout* seconds."""

    def __init__(self, beats: Beats, timeout: float, bark: Callable[[], object]) -> None:
        self._beats = beats
        self._timeout = timeout
        self._bark = bark

    def start(self) -> None:
        """Watch from the first beat on."""
        threading.Thread(target=self._watch, name="ashapp-watchdog", daemon=True).start()

    def _watch(self) -> None:
        detector = StallDetector(self._timeout)
        while not (self._beats.value and detector.is_stalled(self._beats.value)):
            time.sleep(_interval(self._timeout))
        self._bark()


def _interval(timeout: float) -> float:
    return min(timeout / _BEATS, _LONGEST_INTERVAL)
