# SPDX-License-Identifier: MIT
"""Watch the event loop: how late it is, whether it runs, and which request blocks it.

Theory of operation. A timer on the loop beats: only code on the loop can prove that the loop runs. Beats are
counted for the watchers of stalls (see ``stalls``), and the lag of each beat is reported. A thread looks as
often as the timer beats. If a beat is late by more than the threshold, the thread reads the stack of the
loop's thread, or of the greenlet that runs there. The two share no lock, and neither wakes the other.

A stack shows one moment. A request has blocked the loop for a time only if it is still in the stack when that
time is over. If the monitor's thread could not look in time, C code held the interpreter's lock, or the
process was stopped. The processor time of the loop's thread tells whether it was code of that thread.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import NamedTuple

from ashapp.bridge.stacks import format_stack, frame_of
from ashapp.observe.observation import Observation
from ashapp.server.health.stalls import Beats, interval_for

__all__ = ["Cpu", "LoopMonitor", "describe_request", "used_cpu"]

_log = logging.getLogger("ashapp.server")

# Seconds between beats at most. A stall that is longer than this shows in the lag.
_INTERVAL = 0.25

# Seconds between reports: a service that blocks its loop in each request would fill the log.
_PAUSE = 10.0

_REMEDY = (
    "Let it await, or keep it on threads, by @ashapp.on_thread or --async-views thread; "
    "until it returns all requests of this process wait. "
)

# Why no thread of the process has run.
_BY_LOOP = "C code held the interpreter's lock"
_BY_ANOTHER = "C code of another thread held the interpreter's lock"
_BY_NOBODY = "the process was stopped, or C code held the interpreter's lock while it waited"


class Cpu(NamedTuple):
    """Seconds of processor time of a loop's thread, and of the other threads of the process."""

    loop: float
    others: float

    def since(self, before: "Cpu") -> "Cpu":
        """Return the time that has been used since *before*."""
        return Cpu(self.loop - before.loop, self.others - before.others)


def used_cpu(thread: int) -> Cpu:
    """Return the time that a loop's *thread* and all others have used. *thread* must not have ended."""
    process = time.process_time()
    if not hasattr(time, "pthread_getcpuclockid"):
        return Cpu(0.0, process)
    loop = time.clock_gettime(time.pthread_getcpuclockid(thread))
    return Cpu(loop, process - loop)


class _Look(NamedTuple):
    """The loop's thread at a moment. *position* is its place in the code."""

    at: float
    cpu: Cpu
    request: Observation | None = None
    position: tuple[int, int] | None = None

    def shows_block(self, first: "_Look") -> bool:
        """Return whether the request has blocked the loop since *first*.

        It has if the loop's thread is in the same call, if it has worked more than all other threads, or if
        these have hardly worked: many busy threads leave little time for the loop.
        """
        cpu = self.cpu.since(first.cpu)
        return (
            self.position == first.position
            or cpu.loop >= cpu.others
            or _is_idle(cpu.others, self.at - first.at)
        )


@dataclass
class _Stall:
    """*due* is the time of the beat that is missing.

    *first* is the look at which the request in the stack was first seen, *since* when it may have begun.
    """

    due: float
    first: _Look
    since: float
    is_reported: bool
    noted: Observation | None = None


class LoopMonitor:
    """Counts *beats* of the running loop and calls *on_beat* with the lag of each, in seconds.

    A stall of more than *threshold* seconds is logged at once, with the stack of the loop's thread, and again
    when the loop goes on. Stalls within ten seconds of a report are only counted, for the next report. *find*
    finds the request that a frame belongs to. *note* is called, on a thread, with each request that blocks
    the loop for *limit* seconds, once its endpoint is known. The threshold 0 switches all of that off.

    There are enough beats to notice a stall of *timeout* seconds, if it is not 0. *clock* and *cpu* are
    ``time.monotonic`` and `used_cpu`.
    """

    _loop: asyncio.AbstractEventLoop
    _loop_thread = 0
    # Written by the loop.
    _due = 0.0
    _last_lag = 0.0
    # Written by the thread.
    _last: _Look | None = None
    _stall: _Stall | None = None
    _reported_at = float("-inf")
    _unreported = 0

    def __init__(  # noqa: PLR0913 - the last two are for tests
        self,
        beats: Beats,
        *,
        threshold: float = 0.0,
        timeout: float = 0.0,
        on_beat: Callable[[float], object] | None = None,
        find: Callable[[FrameType, asyncio.AbstractEventLoop], Observation | None] = lambda *_: None,
        note: Callable[[Observation, float], object] | None = None,
        limit: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        cpu: Callable[[int], Cpu] = used_cpu,
    ) -> None:
        self._beats = beats
        self._threshold = threshold
        bounds = [_INTERVAL, threshold / 2, interval_for(timeout)]
        self._interval = min(bound for bound in bounds if bound > 0)
        self._on_beat = on_beat
        self._find = find
        self._note = note
        self._limit = limit or float("inf")
        self._clock = clock
        self._used_cpu = cpu
        self._stopped = threading.Event()

    async def start(self) -> None:
        """Watch the running loop. Once for each monitor."""
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._due = self._clock()
        self._beat()
        if self._threshold:
            threading.Thread(target=self._watch, name="ashapp-loop-monitor", daemon=True).start()

    async def stop(self) -> None:
        """Report no more. The beats go on, for the shutdown may stall, too."""
        self._stopped.set()

    def _beat(self) -> None:
        now = self._clock()
        lag = max(0.0, now - self._due)  # the clock of a loop may be a bit ahead
        if lag > self._threshold:
            self._last_lag = lag
        self._beats.value += 1
        self._due = now + self._interval
        self._loop.call_later(self._interval, self._beat)
        if self._on_beat is not None and not self._stopped.is_set():
            self._on_beat(lag)

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval):
            self._look()

    def _look(self) -> None:
        look = _Look(self._clock(), self._used_cpu(self._loop_thread))
        due = self._due
        if self._stall is not None and self._stall.due != due:
            if self._stall.is_reported:
                _log.warning("The event loop goes on after %.2f s", self._last_lag)
            self._stall = None
        if self._stall is not None:
            self._follow(self._stall, look)
        elif look.at > due + self._threshold:
            self._stall = self._begin(due, look)
        self._last = look

    def _begin(self, due: float, look: _Look) -> _Stall:
        frame = frame_of(self._loop_thread)
        look = self._seen(look, frame)
        held = self._held_by(look)
        is_reported = look.at - self._reported_at >= _PAUSE
        is_blocked = held in {"", _BY_LOOP}
        stall = _Stall(due, look, due if is_blocked else look.at, is_reported)
        if held == _BY_LOOP:
            self._take_note(stall, look)
        if is_reported:
            self._report(look.at - due, held, look.request if is_blocked else None, format_stack(frame))
            self._reported_at = look.at
            self._unreported = 0
        else:
            self._unreported += 1
        return stall

    def _follow(self, stall: _Stall, look: _Look) -> None:
        look = self._seen(look, frame_of(self._loop_thread))
        if look.request is not stall.first.request:
            stall.first, stall.since = look, look.at
        elif look.shows_block(stall.first):
            self._take_note(stall, look)

    def _seen(self, look: _Look, frame: FrameType | None) -> _Look:
        if frame is None:
            return look
        return look._replace(request=self._find(frame, self._loop), position=(id(frame), frame.f_lasti))

    def _held_by(self, look: _Look) -> str:
        """Return why this thread was kept from running since its last look; empty if it was not."""
        last = self._last
        if last is None or look.at - last.at <= self._interval + self._threshold:
            return ""
        used = look.cpu.since(last.cpu)
        if _is_idle(used.loop + used.others, look.at - last.at):
            return _BY_NOBODY
        return _BY_LOOP if used.loop >= used.others else _BY_ANOTHER

    def _take_note(self, stall: _Stall, look: _Look) -> None:
        request, seconds = look.request, look.at - stall.since
        if self._note is None or request is None or request is stall.noted or request.endpoint is None:
            return
        if seconds >= self._limit:
            stall.noted = request
            self._note(request, seconds)

    def _report(self, seconds: float, held: str, request: Observation | None, stack: str) -> None:
        _log.warning(
            "The event loop has not answered for %.2f s%s%s. %sIts thread runs:\n%s",
            seconds,
            f" (no other thread ran either: {held})" if held else "",
            f" ({self._unreported} more since the last report)" if self._unreported else "",
            f"It is blocked by {describe_request(request)}. {_REMEDY}" if request is not None else "",
            stack,
        )


def describe_request(request: Observation) -> str:
    """Return what a person calls *request*: its method, its rule or else its path, and its endpoint.

    A WebSocket has no method.
    """
    place = request.route if request.route is not None else request.scope["path"]
    endpoint = "" if request.endpoint is None else f" (endpoint {request.endpoint!r})"
    return f"{request.scope.get('method', 'WebSocket')} {place!r}{endpoint}"


def _is_idle(cpu: float, elapsed: float) -> bool:
    """Return whether *cpu* is too little for any work in *elapsed* seconds, even on a busy machine."""
    return cpu < elapsed / 20
