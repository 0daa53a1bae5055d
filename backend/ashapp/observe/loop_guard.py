# SPDX-License-Identifier: MIT
"""Notice a callable that blocks the event loop, while it does, and say where it is and whose request it is.

Theory of operation. The loop beats: a timer moves ``_due`` on, the time by which the next beat is to come. A
thread sleeps until that time plus the threshold, and looks. As a rule the loop has beaten meanwhile, and
the thread sleeps on. Else the loop is stalled, and the stack of its thread shows what it does just then
(in a greenlet, its stack). The two share no lock, and neither wakes the other, so an idle loop pays
for two timers per threshold and nothing per request.

A stack shows one moment only. So the request in it is said to have blocked the loop for a time only if it is
still there when that time is over (see ``Moment``). And where this thread itself could not look in time, C
code held the interpreter's lock, or the process was stopped: the processor time of the loop's thread tells
whether that was its code.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from ashapp.observe.moment import Cpu, FindRequest, Moment, is_idle, used_cpu
from ashapp.observe.observation import Observation

__all__ = ["LoopGuard", "NoteBlock", "describe"]

_log = logging.getLogger("ashapp.observe")

#: Is told of a request that has blocked the loop for so many seconds, and does so still.
NoteBlock = Callable[[Observation, float], object]

# Seconds from one report to the next: a service that blocks its loop in each request would fill the log.
_PAUSE = 10.0

_REMEDY = (
    "Let it await, or keep it on threads, by @ashapp.on_thread or --async-views thread; "
    "until it returns all requests of this process wait. "
)


# Why no thread of the process has run.
_ITSELF = "C code held the interpreter's lock"
_ANOTHER = "C code of another thread held the interpreter's lock"
_NOBODY = "the process was stopped, or C code held the interpreter's lock while it waited"


class LoopGuard:
    """Warns of stalls of an event loop that last longer than *threshold* seconds.

    A stall is noticed for certain if it lasts half as long again. It is logged at once, with the stack of the
    loop's thread, and once more with its duration when the loop goes on. Stalls within ten seconds of a
    report are only counted; the next report tells how many there were.

    *find* finds the request whose code blocks. *note* is told of each request that blocks the loop for
    *limit* seconds, on the guard's thread, once its endpoint is known.

    *clock* gives the time in seconds, and is monotonic; *cpu* is as ``used_cpu``.

    Raises:
        ValueError: *threshold* is not positive.

    """

    def __init__(  # noqa: PLR0913 - the last two are for tests
        self,
        threshold: float,
        *,
        find: FindRequest | None = None,
        note: NoteBlock | None = None,
        limit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[int], Cpu] = used_cpu,
    ) -> None:
        if not threshold > 0:
            raise ValueError(f"the threshold must be positive, not {threshold!r}")
        self.threshold = threshold
        self._interval = threshold / 2
        self._find_request = find
        self._note = note
        self._limit = limit
        self._clock = clock
        self._used_cpu = cpu
        self._stopped = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop
        self._loop_thread = 0
        # Written by the loop.
        self._due = 0.0
        self._last_stall = 0.0
        # The rest is the guard's thread's.
        self._missed: float | None = None
        # When the request that is there now was first seen in this stall, and since when it may have been.
        self._first: Moment
        self._since = 0.0
        self._noted: Observation | None = None
        self._reported_at = float("-inf")
        self._is_reported = False
        self._unreported = 0
        self._looked_at = 0.0
        self._next_look = float("inf")
        self._cpu = Cpu(0.0, 0.0)

    async def start(self) -> None:
        """Guard the running loop until ``stop``. Once for each guard."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._due = self._clock() + self._interval
        self._timer = self._loop.call_later(self._interval, self._beat, self._loop)
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
        cpu = self._used_cpu(self._loop_thread)
        wait = self._find(now, cpu)
        self._looked_at, self._next_look, self._cpu = now, now + wait, cpu
        return wait

    def _find(self, now: float, cpu: Cpu) -> float:
        due = self._due
        if self._missed is not None:
            if due == self._missed:
                self._follow(now, cpu)
                return self._interval
            self._end()
        if now <= due + self.threshold:
            return due + self.threshold - now
        self._missed = due
        self._begin(now, now - due, cpu)
        return self._interval

    def _begin(self, now: float, stalled: float, cpu: Cpu) -> None:
        moment = Moment.of(self._loop_thread, self._loop, now, cpu, self._find_request)
        request = moment.request
        held = ""
        self._first, self._since = moment, now - stalled
        if now - self._next_look > self.threshold:
            who = _holder(cpu.since(self._cpu), now - self._looked_at)
            held = f" (no other thread ran either: {who})"
            if who == _ITSELF:
                self._take_note(request, stalled)
            else:
                request, self._since = None, now
        self._is_reported = now - self._reported_at >= _PAUSE
        if not self._is_reported:
            self._unreported += 1
            return
        _log.warning(
            "The event loop has not answered for %.2f s%s%s. %sIts thread runs:\n%s",
            stalled,
            held,
            f" ({self._unreported} more since the last report)" if self._unreported else "",
            "" if request is None else f"It is blocked by {describe(request)}. {_REMEDY}",
            moment.stack,
        )
        self._reported_at = now
        self._unreported = 0

    def _follow(self, now: float, cpu: Cpu) -> None:
        moment = Moment.of(self._loop_thread, self._loop, now, cpu, self._find_request)
        if moment.request is not self._first.request:
            self._first, self._since = moment, now
        elif moment.shows_block(self._first):
            self._take_note(moment.request, now - self._since)

    def _take_note(self, request: Observation | None, seconds: float) -> None:
        if self._note is None or request is None or request is self._noted or request.endpoint is None:
            return
        if 0 < self._limit <= seconds:
            self._noted = request
            self._note(request, seconds)

    def _end(self) -> None:
        self._missed = self._noted = None
        if self._is_reported:
            _log.warning("The event loop goes on after %.2f s", self._last_stall)


def _holder(used: Cpu, elapsed: float) -> str:
    """Say what let no thread run, from the processor time that was *used* meanwhile."""
    if is_idle(used.loop + used.others, elapsed):
        return _NOBODY
    return _ITSELF if used.loop >= used.others else _ANOTHER


def describe(request: Observation) -> str:
    """Return what a person calls *request*: its method, its rule or else its path, and its endpoint."""
    place = request.route if request.route is not None else request.scope["path"]
    endpoint = "" if request.endpoint is None else f" (endpoint {request.endpoint!r})"
    return f"{request.scope['method']} {place!r}{endpoint}"
