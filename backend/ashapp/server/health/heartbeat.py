# SPDX-License-Identifier: MIT
"""The heartbeat of an event loop, and how its absence is noticed from outside.

Theory of operation. A timer of the loop itself counts beats, for only what the loop runs proves that it runs:
a thread of the same process would answer while the loop is blocked. Who watches compares the count with that
of the look before, by a clock of its own. A watcher that has not run for long, because the machine was
suspended or the process stopped, has no right to judge, and begins anew.

A loop that does not run may be as well as any: C code on another thread, such as a regular expression, may
hold the interpreter's lock. Then no thread of the process runs. A watcher in the process sees that by its own
absence; one in another process by a pulse, which a thread beats that does nothing else: while that stops too,
the loop has more time, and when it goes on again, the loop begins anew.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Beats", "Counter", "Heartbeat", "Pulse", "StallDetector", "Watchdog"]

# Beats and looks for each time-out: it is kept to within a tenth.
_BEATS = 10
_LONGEST_INTERVAL = 1.0

# Seconds that no thread of a process may run, at the least, before its loop is taken for stalled.
_HELD = 30.0


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


class Pulse:
    """Beats on a thread, as long as any thread of the process can run; as often as a `Heartbeat`."""

    def __init__(self, beats: Beats, timeout: float) -> None:
        self._beats = beats
        self._interval = _interval(timeout)

    def start(self) -> None:
        """Beat for the rest of the process's life."""
        self._beats.value += 1
        threading.Thread(target=self._run, name="ashapp-pulse", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._interval)
            self._beats.value += 1


class StallDetector:
    """Tells from the count of beats whether a loop has been stalled for *timeout* seconds.

    While its process has no pulse either, it may take 30 seconds, or the time-out if that is longer.

    *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self._clock = clock
        self._beats = -1
        self._changed_at = 0.0
        self._looked_at = float("-inf")
        self._pulse = -1
        self._pulsed_at = 0.0

    def is_stalled(self, beats: int, pulse: int | None = None) -> bool:
        """Look at the count of beats, and that of the pulse; to be called at least twice per time-out."""
        now = self._clock()
        begins_anew = now - self._looked_at > self.timeout / 2
        is_held = now - self._pulsed_at > self.timeout / 2
        self._looked_at = now
        if pulse is None or pulse != self._pulse or begins_anew:
            begins_anew = begins_anew or is_held
            is_held = False
            self._pulse = -1 if pulse is None else pulse
            self._pulsed_at = now
        if beats != self._beats or begins_anew:
            self._beats = beats
            self._changed_at = now
        return now - self._changed_at >= (max(_HELD, self.timeout) if is_held else self.timeout)


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
