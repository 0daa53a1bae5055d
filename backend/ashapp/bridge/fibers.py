# SPDX-License-Identifier: MIT
"""Greenlets on the loop's thread, in which sync code can wait for a coroutine.

Theory of operation. Flask's dispatch is sync code that meets coroutines in its middle. It runs in a
*fiber*; where it has to wait, the fiber switches to its *caller*, the task that drives it, and hands
over what it waits for. The task yields that to the event loop as if it had awaited it itself, and
switches back with the result. So the loop is free, and no thread waits. A coroutine is stepped
inside the fiber too (``wait_for``), so sync code that a coroutine calls may wait in turn.

A fiber has a ``Context`` of its own, which greenlet makes current on each switch into it, and which is
not marked as entered: a thread, or another task, may run in it while the fiber is suspended.

Fibers are kept for reuse: making one costs 8 µs, taking one from the pool less than 1 µs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.native import LoopExchange

__all__ = ["DONE", "Fiber", "acquire", "current_fiber", "release"]

#: What a fiber hands over when its call has returned.
DONE = object()

# More than this many at once are made anew: idle ones hold memory.
_MAX_IDLE = 256

_thread = threading.local()


class Fiber(greenlet):
    """A greenlet that runs one call after the other, and can be driven by a task."""

    exchange: LoopExchange | None = None
    # How many coroutines are being stepped, one in the other.
    depth = 0
    _caller: greenlet

    def __init__(self) -> None:
        super().__init__(_run)
        self._caller = getcurrent()
        self.switch()

    # -- for the driving task

    def start(self, call: Callable[[], None]) -> Any:
        """Begin *call*, which must not raise, and return what it waits for first, or ``DONE``."""
        self._caller = getcurrent()
        return self.switch(call)

    def resume(self, value: Any) -> Any:
        """Go on with *value* for what was waited for; return what comes next."""
        self._caller = getcurrent()
        return self.switch(value)

    def fail(self, error: BaseException) -> Any:
        """Go on with *error* raised where the fiber waits; return what comes next."""
        self._caller = getcurrent()
        return self.throw(type(error), error, error.__traceback__)

    # -- inside the fiber

    def ask(self, item: Any) -> Any:
        """Hand *item* to the driving task and return its answer."""
        return self._caller.switch(item)

    def wait_for(self, coroutine: Any) -> Any:
        """Run *coroutine* to its end, handing over what it awaits, and return its result."""
        self.depth += 1
        try:
            item = coroutine.send(None)
            while True:
                try:
                    value = self._caller.switch(item)
                except BaseException as error:
                    item = coroutine.throw(error)
                else:
                    item = coroutine.send(value)
        except StopIteration as stop:
            return stop.value
        finally:
            self.depth -= 1


def _run() -> None:
    # Nothing that leads to the fiber is kept here, not even as an argument: the garbage collector can't see
    # into its stack, so a fiber that is dropped while idle would hold itself, and its last call, for ever.
    while True:
        call = getcurrent()._caller.switch(DONE)  # type: ignore[attr-defined]  # noqa: SLF001
        call()
        del call


def current_fiber() -> Fiber | None:
    """Return the fiber that runs now, or None outside of one."""
    current = getcurrent()
    return current if type(current) is Fiber else None


def acquire() -> Fiber:
    """Return a fiber of this thread that has nothing to do."""
    idle: list[Fiber] | None = getattr(_thread, "idle", None)
    return idle.pop() if idle else Fiber()


def release(fiber: Fiber) -> None:
    """Give back a fiber whose call has returned."""
    fiber.exchange = None
    fiber.gr_context = None
    idle: list[Fiber] | None = getattr(_thread, "idle", None)
    if idle is None:
        idle = _thread.idle = []
    if len(idle) < _MAX_IDLE:
        idle.append(fiber)
