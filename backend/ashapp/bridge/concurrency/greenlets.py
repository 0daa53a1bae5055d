# SPDX-License-Identifier: MIT
"""Greenlets on the loop's thread, in which sync code can wait for a coroutine.

Theory of operation. Flask's dispatch is sync code that meets coroutines in its middle. It runs in a
*greenlet*; where it has to wait, the greenlet switches to its *caller*, the task that drives it, and hands
over what it waits for. The task yields that to the event loop as if it had awaited it itself, and
switches back with the result. So the loop is free, and no thread waits. A coroutine is stepped
inside the greenlet too (``wait_for``), so sync code that a coroutine calls may wait in turn.

What a greenlet hands over is one of two things. A future, as a coroutine yields it, is yielded on to the
loop. A coroutine is an *errand* (``ask``): the task awaits it outside of the greenlet.

Sync code may run greenlets of its own within a greenlet, as SQLAlchemy's ``run_sync`` does. One that waits
hands over for the greenlet, and is the one that the greenlet goes on with.

A greenlet has a ``Context`` of its own, which greenlet makes current on each switch into it, and which is
not marked as entered: a thread, or another task, may run in it while the greenlet is suspended.

Greenlets are kept for reuse: making one and ending it costs 14 µs, taking one from the pool less than 1 µs.

Why not greenback, which does the same with a new greenlet for each call. CPU time of a call, and memory of
each of 10,000 calls that wait at once, its task included
(greenlet 3.5.6, greenback 1.3.0; the ratios are what counts)::

                   CPython 3.11.7                    CPython 3.13.0
                   no wait   one wait   memory       no wait   one wait   memory
    plain await     0.2 µs     2.1 µs   1.5 KiB       0.2 µs     2.0 µs   1.4 KiB
    greenlet           2.7 µs     5.6 µs   9.2 KiB       3.4 µs     6.8 µs  12.5 KiB
    greenback      13.7 µs    17.3 µs   9.9 KiB      13.8 µs    18.2 µs  13.0 KiB

Both raise a cancellation where the sync code waits, and take ``asyncio.timeout`` and a wait inside of a wait,
on asyncio's loop and on uvloop's. They differ in the context. greenback gives the sync code that of the task
that drives it, the server's. One of its own it has by ``Context.run``, and then nobody else can enter it
while the call waits: no task in which a request tears down, shielded. And with greenback the sync code itself
starts what it waits for, so that a thread may begin in its context before it has left it; a greenlet hands
that over, and the task starts it after the switch.

From CPython 3.12 on, greenlet makes a frame object, some 230 bytes, for each Python function that a suspended
greenlet is in, and walks all of them at each switch: a greenlet had better wait in few functions.
"""

from __future__ import annotations

import threading
from functools import partial
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent
from greenlet import greenlet as Greenlet  # noqa: N812 - apart from those of calls

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context
    from types import FrameType

    from ashapp.bridge.concurrency.call import Call

__all__ = [
    "DONE",
    "Driver",
    "PooledGreenlet",
    "acquire",
    "current_call",
    "current_greenlet",
    "enter_call",
    "release",
    "running_call",
]

T = TypeVar("T")

#: What a greenlet hands over when its function has returned.
DONE = object()

# More than this many at once are made anew: idle ones hold memory.
_MAX_IDLE = 256

_thread = threading.local()


class PooledGreenlet(Greenlet):
    """A greenlet that runs one function after the other, each driven by a task."""

    __slots__ = ("_caller", "_inner", "depth", "driver")

    #: What drives it, while it runs a function.
    driver: Driver

    def __init__(self) -> None:
        super().__init__(_work)
        #: How many coroutines are being stepped, one in the other.
        self.depth = 0
        self._caller = getcurrent()
        # The greenlet within this one that waits, if it is not this one itself.
        self._inner: Greenlet | None = None
        self.switch()

    # -- for the driving task

    def start(self, function: Callable[[], None]) -> Any:
        """Begin *function*, which must not raise, and return what it waits for first, or ``DONE``."""
        self._caller = getcurrent()
        return self.switch(function)

    def resume(self, value: Any) -> Any:
        """Go on with *value* for what was waited for; return what comes next."""
        self._caller = getcurrent()
        return (self if self._inner is None else self._take_inner()).switch(value)

    def fail(self, error: BaseException) -> Any:
        """Go on with *error* raised where the greenlet waits; return what comes next."""
        self._caller = getcurrent()
        waiting = self if self._inner is None else self._take_inner()
        return waiting.throw(type(error), error, error.__traceback__)

    def _take_inner(self) -> Greenlet:
        inner, self._inner = self._inner, None
        return self if inner is None else inner

    # -- inside the greenlet

    def ask(self, item: Any) -> Any:
        """Hand *item* to the driving task and return its answer."""
        current = getcurrent()
        if current is not self:
            self._inner = current
        return self._caller.switch(item)

    def wait_for(self, coroutine: Any) -> Any:
        """Run *coroutine* to its end, handing over what it awaits, and return its result."""
        self.depth += 1
        current = getcurrent()
        inner = None if current is self else current
        del current
        try:
            item = coroutine.send(None)
            while True:
                self._inner = inner
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


def _work() -> None:
    # Nothing that leads to the greenlet is kept here, not even as an argument: the garbage collector can't
    # see into its stack, so a greenlet that is dropped while idle would hold itself, and its last function,
    # for ever.
    while True:
        function = getcurrent()._caller.switch(DONE)  # type: ignore[attr-defined]  # noqa: SLF001
        function()
        del function


class Driver:
    """What drives a greenlet, and what the sync code in there asks for what it can't do itself.

    The call of an async view is one, and so is each task of a request (see ``greenlet_tasks``).
    """

    #: The greenlet, once it has been started.
    greenlet: PooledGreenlet

    @property
    def call(self) -> Call | None:
        """The call of the request to which the code in the greenlet belongs, if it is known."""
        raise NotImplementedError

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = False) -> Any:
        """Run *coroutine* to its end, in the greenlet that calls, and return its result.

        Where nothing may be interrupted it runs in a task of its own, unless it must run *in_task*: in the
        one that drives the greenlet.
        """
        raise NotImplementedError

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* on the thread of the request, and return its result. In the greenlet."""
        raise NotImplementedError

    def prepare_to_wait(self) -> Coroutine[Any, Any, None] | None:
        """Return what is to be awaited before a future that the greenlet has handed over, if anything is."""

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the greenlet waits; return what comes next."""
        return self.greenlet.fail(error)

    @coroutine
    def drive(self, function: Callable[[], T], context: Context) -> Generator[Any, Any, T]:
        """Run *function* in a greenlet, in *context*, and return what it returns. In the driving task."""
        greenlet = self.greenlet = acquire()
        greenlet.driver = self
        greenlet.gr_context = context
        outcome: list[Any] = []
        item = greenlet.start(partial(_run, self, function, outcome))
        while item is not DONE:
            try:
                if type(item) is CoroutineType:
                    answer = yield from item  # type: ignore[misc]
                else:
                    preparation: Any = self.prepare_to_wait()
                    if preparation is not None:
                        yield from preparation
                    answer = yield item
            except BaseException as error:
                item = self.fail(error)
            else:
                item = greenlet.resume(answer)
        del greenlet.driver
        release(greenlet)
        value, raised = outcome
        if raised is None:
            result: T = value
            return result
        try:
            raise raised
        finally:
            del raised, outcome  # the traceback leads to this frame


def _run(driver: Driver, function: Callable[[], Any], outcome: list[Any]) -> None:  # noqa: ARG001 - see ``running_call``
    """Put what *function* returns and None, or None and what it raises, into *outcome*."""
    try:
        outcome += [function(), None]
    except BaseException as error:
        outcome += [None, error]


def running_call(frame: FrameType | None) -> Call | None:
    """Return the call in whose greenlet *frame* is, the innermost one of a thread, or None."""
    while frame is not None and frame.f_code is not _run.__code__:
        frame = frame.f_back
    if frame is None:
        return None
    driver: Driver = frame.f_locals["driver"]
    return driver.call


def current_greenlet() -> PooledGreenlet | None:
    """Return the greenlet that runs now, if only by a greenlet within it, or None outside of one."""
    current: Greenlet | None = getcurrent()
    while current is not None:
        if type(current) is PooledGreenlet:
            return current
        current = current.parent
    return None


def current_call() -> Call | None:
    """Return the call whose code runs now, in a greenlet or on a thread that serves it, or None."""
    greenlet = current_greenlet()
    if greenlet is not None:
        return greenlet.driver.call
    call: Call | None = getattr(_thread, "call", None)
    return call


def enter_call(call: Call | None) -> Call | None:
    """Make *call* the one that this thread serves; return the one that it replaces."""
    outer, _thread.call = getattr(_thread, "call", None), call
    return outer


def acquire() -> PooledGreenlet:
    """Return a greenlet of this thread that has nothing to do."""
    idle: list[PooledGreenlet] | None = getattr(_thread, "idle", None)
    return idle.pop() if idle else PooledGreenlet()


def release(greenlet: PooledGreenlet) -> None:
    """Give back a greenlet whose function has returned."""
    greenlet.gr_context = None
    idle: list[PooledGreenlet] | None = getattr(_thread, "idle", None)
    if idle is None:
        idle = _thread.idle = []
    if len(idle) < _MAX_IDLE:
        idle.append(greenlet)
