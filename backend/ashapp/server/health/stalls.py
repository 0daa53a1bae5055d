# SPDX-License-Identifier: MIT
"""Tell from the beats of an event loop whether it is stalled.

Theory of operation. The loop counts beats (see ``loop_monitor``). A watcher compares the count with that of
its last look, by a clock of its own. If it has not looked for long, because the machine was suspended or the
process stopped, it begins anew.

C code on another thread, such as a regular expression, may hold the interpreter's lock. Then no thread of the
process runs, also not a watcher in this process, but the loop is not to blame. A watcher in another process
sees this by a second count, the *pulse*: a thread of the watched process does nothing but count it. While the
pulse stands still too, the loop gets more time. When the pulse goes on, the watcher begins anew.
"""

import threading
import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Beats", "LocalBeats", "StallDetector", "call_when_stalled", "count_on_thread", "interval_for"]

# Beats and looks in each time-out, so that it is exact to a tenth.
_BEATS = 10
_LONGEST_INTERVAL = 1.0

# A loop without a pulse counts as stalled after this many seconds, or after its time-out if that is longer.
_HELD = 30.0


class Beats(Protocol):
    """A count of beats, in this process or in memory that processes share."""

    value: int


class LocalBeats:
    """Counts beats for threads of the same process."""

    value = 0


class StallDetector:
    """Tells whether a loop has been stalled for *timeout* seconds; without a pulse, for 30 s or *timeout*.

    *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, timeout: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout
        self._clock = clock
        self._looked_at = float("-inf")
        self._beats = self._pulse = -1
        self._beats_at = self._pulse_at = 0.0

    def is_stalled(self, beats: int, pulse: int | None = None) -> bool:
        """Look at the counts of beats and of the pulse. To be called at least twice in each time-out."""
        now = self._clock()
        begins_anew = now - self._looked_at > self._timeout / 2
        has_no_pulse = now - self._pulse_at > self._timeout / 2
        self._looked_at = now
        if pulse is None or pulse != self._pulse or begins_anew:
            begins_anew = begins_anew or has_no_pulse
            has_no_pulse = False
            self._pulse, self._pulse_at = pulse or 0, now
        if beats != self._beats or begins_anew:
            self._beats, self._beats_at = beats, now
        return now - self._beats_at >= (max(_HELD, self._timeout) if has_no_pulse else self._timeout)


def interval_for(timeout: float) -> float:
    """Return the seconds between beats, and between looks, for a time-out."""
    return min(timeout / _BEATS, _LONGEST_INTERVAL)


def count_on_thread(pulse: Beats, timeout: float) -> None:
    """Count the pulse on a thread, until the process ends."""

    def count() -> None:
        while True:
            pulse.value += 1
            time.sleep(interval_for(timeout))

    threading.Thread(target=count, name="ashapp-pulse", daemon=True).start()


def call_when_stalled(beats: Beats, timeout: float, function: Callable[[], object]) -> None:
    """Call *function* once, on a thread, when a loop that has begun to beat is stalled for *timeout*."""

    def watch() -> None:
        detector = StallDetector(timeout)
        while not (beats.value and detector.is_stalled(beats.value)):
            time.sleep(interval_for(timeout))
        function()

    threading.Thread(target=watch, name="ashapp-watchdog", daemon=True).start()
