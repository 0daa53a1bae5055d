# SPDX-License-Identifier: MIT
"""Notice a callable that blocks the event loop, while it does, and say where it is.

Theory of operation. The loop beats: a timer moves ``_due`` on, the time by which the next beat is to come. A
thread sleeps until that time plus the threshold, and looks. As a rule the loop has beaten meanwhile, and
the thread sleeps on. Else the loop is stalled, and the stack of its thread shows what it does just then
(in a fiber, the fiber's stack). The two share no lock, and neither wakes the other, so an idle loop pays
for two timers per threshold and nothing per request.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LoopGuard"]

_log = logging.getLogger("ashapp.observe")

# Seconds from one report to the next: a service that blocks its loop in each request would fill the log.
_PAUSE = 10.0


class LoopGuard:
    """Warns of stalls of an event loop that last longer than *threshold* seconds.

    A stall is noticed for certain if it lasts half as long again. It is logged at once, with the stack of the
    loop's thread, and once more with its duration when the loop goes on. Stalls within ten seconds of a
    report are only counted; the next report tells how many there were.

    *clock* gives the time in seconds, and is monotonic.

    Raises:
        ValueError: *threshold* is not positive.

    """

    def __init__(self, threshold: float, clock: Callable[[], float] = time.monotonic) -> None:
        if not threshold > 0:
            raise ValueError(f"the threshold must be positive, not {threshold!r}")
        self.threshold = threshold
        self._interval = threshold / 2
        self._clock = clock
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop_thread = 0
        # Written by the loop.
        self._due = 0.0
        self._last_stall = 0.0
        # The rest is the guard's thread's.
        self._missed: float | None = None
        self._reported_at = float("-inf")
        self._is_reported = False
        self._unreported = 0
        self._next_look = float("inf")

    async def start(self) -> None:
        """Guard the running loop until ``stop``. Once for each guard."""
        loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._due = self._clock() + self._interval
        self._timer = loop.call_later(self._interval, self._beat, loop)
        threading.Thread(target=self._watch, name="ashapp-loop-guard", daemon=True).start()

    async def stop(self) -> None:
        """Leave the loop alone. Called more than once it does nothing."""
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        if now - self._due > self.threshold:
            self._last_stall = now - self._due
        self._due = now + self._interval
        self._timer = loop.call_later(self._interval, self._beat, loop)

    def _watch(self) -> None:
        while not self._stopped.wait(self._look()):
            pass

    def _look(self) -> float:
        """Report what there is to report; return the seconds until the next look."""
        now = self._clock()
        wait = self._find(now)
        self._next_look = now + wait
        return wait

    def _find(self, now: float) -> float:
        due = self._due
        if self._missed is not None:
            if due == self._missed:
                return self._interval
            self._end()
        if now <= due + self.threshold:
            return due + self.threshold - now
        self._missed = due
        self._begin(now)
        return self._interval

    def _begin(self, now: float) -> None:
        self._is_reported = now - self._reported_at >= _PAUSE
        if not self._is_reported:
            self._unreported += 1
            return
        _log.warning(
            "The event loop has not answered for %.2f s%s%s. Its thread runs:\n%s",
            now - self._due,
            " (no other thread ran either: C code held the GIL, or the process was stopped)"
            if now - self._next_look > self.threshold
            else "",
            f" ({self._unreported} more since the last report)" if self._unreported else "",
            _stack(self._loop_thread),
        )
        self._reported_at = now
        self._unreported = 0

    def _end(self) -> None:
        self._missed = None
        if self._is_reported:
            _log.warning("The event loop goes on after %.2f s", self._last_stall)


def _stack(thread: int) -> str:
    """Return the stack of a thread as text, the innermost call last."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - there is no other way to see another thread
    # All line numbers first: the thread may run on while the source is read.
    frames = list(traceback.walk_stack(frame)) if frame is not None else []
    return "".join(traceback.StackSummary.extract(reversed(frames)).format()).rstrip()
