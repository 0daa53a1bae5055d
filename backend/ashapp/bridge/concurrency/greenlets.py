# SPDX-License-Identifier: MIT
"""Greenlets on the loop's thread, in which sync code can wait for a coroutine.

Theory of operation. Flask's dispatch is sync code that meets coroutines in its middle. It runs in a
*greenlet*. Where it has to wait, the greenlet switches to the task that drives it (``Driver``) and hands over
what it waits for. The task yields that to the loop, and switches back with the result. So no thread waits.

What a greenlet hands over is one of two things. A future, as a coroutine yields it, is yielded on to the
loop. A coroutine is an *errand* (``ask``): the task awaits it outside of the greenlet. Other coroutines are
stepped inside the greenlet (``wait_for``), so sync code that they call may wait in turn.

What a task drives is itself a coroutine, step by step (``Steps``). A suspended greenlet holds 8 KiB, on
CPython 3.15 up to 15. A suspended coroutine holds a few hundred bytes. So where the coroutine itself waits,
and not sync code that it has called, its greenlet is given back, and the next step has another one. Only a
greenlet that something refers to is kept for the coroutine: one that sync code has begun within it returns to
its parent, and that must not serve another request by then. Nor is it used again.

Sync code may run greenlets of its own within a greenlet, as SQLAlchemy's ``run_sync`` does. One that waits
hands over for the greenlet, and is the one that the greenlet goes on with.

A greenlet has a ``Context`` of its own, which is current while it runs and is not marked as entered: a
thread, or another task, may run in it while the greenlet is suspended.

Greenlets are kept for reuse: making one and ending it costs 14 µs, taking one from the pool less than 1 µs.
greenback makes a new greenlet for each call (1.3.0: 13.7 µs in place of 2.7 µs, and as much memory; measured
once, with CPython 3.11.7 and greenlet 3.5.6). Nobody else can enter the context of its call while that waits,
such as a task in which a request tears down.

From CPython 3.12 on, greenlet makes a frame object, some 230 bytes, for each Python function that a suspended
greenlet is in, and walks all of them at each switch: a greenlet had better wait in few functions.
"""

from __future__ import annotations

import threading
from sys import getrefcount
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from greenlet import getcurrent
from greenlet import greenlet as Greenlet  # noqa: N812 - apart from those of calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextvars import Context
    from types import FrameType

    from ashapp.bridge.concurrency.call import Call

__all__ = [
    "DONE",
    "Driver",
    "PooledGreenlet",
    "Steps",
    "current_call",
    "current_greenlet",
    "enter_call",
    "run_as_part",
    "running_call",
]

T = TypeVar("T")

#: What a greenlet hands over when its function has returned.
DONE = object()

# How many are kept: idle ones hold memory.
_MAX_IDLE = 256


class _Thread(threading.local):
    """The call that a thread serves, and the greenlets of the thread that have nothing to do."""

    call: Call | None = None

    def __init__(self) -> None:
        self.idle: list[PooledGreenlet] = []


_thread = _Thread()


class PooledGreenlet(Greenlet):
    """A greenlet that runs one function after the other."""

    __slots__ = ("_caller", "_inner", "depth", "driver", "references", "sync_depth")

    #: What drives it, while it runs a function.
    driver: Driver
    #: How many references there are to it where nobody but its ``Steps`` knows it.
    references: int

    def __init__(self) -> None:
        super().__init__(_work)
        #: How many coroutines are being stepped, one in the other.
        self.depth = 0
        #: At which depth a sync function gets the results of coroutine functions; see ``flask.callers``.
        self.sync_depth = 0
        self._caller = getcurrent()
        # The greenlet within this one that waits, if it is not this one itself.
        self._inner: Greenlet | None = None
        self.switch()

    # -- for the driving task

    def start(
        self, driver: Driver, function: Callable[[Any], object], argument: Any, outcome: list[Any]
    ) -> Any:
        """Begin *function*, and return what it waits for first, or ``DONE``.

        In the end *outcome* has what it returned and None, or None and what it raised.
        """
        self.driver = driver
        self._caller = getcurrent()
        return self.switch(driver, function, argument, outcome)

    def resume(self, value: Any) -> Any:
        """Go on with *value* for what was waited for; return what comes next."""
        return self._take_waiting().switch(value)

    def fail(self, error: BaseException) -> Any:
        """Go on with *error* raised where the greenlet waits; return what comes next."""
        return self._take_waiting().throw(type(error), error, error.__traceback__)

    def _take_waiting(self) -> Greenlet:
        self._caller = getcurrent()
        inner, self._inner = self._inner, None
        return self if inner is None else inner

    # -- inside the greenlet

    def disown(self, way_back: Any) -> None:
        """Switch to *way_back* in place of the driving task, which another process has; wait for nothing."""
        self._caller = way_back
        self.__class__ = _DisownedGreenlet

    def ask(self, item: Any) -> Any:
        """Hand *item*, a future or an errand, to the driving task and return its answer."""
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


class _DisownedGreenlet(PooledGreenlet):
    """One that code which runs in it is not to find: a forked child is in it, and drives no greenlet."""

    __slots__ = ()


def _work() -> None:
    # Nothing that leads to the greenlet is kept here while it is idle: the garbage collector can't see into
    # its stack, so one that is dropped then would hold itself, and its last function, for ever. *driver* is
    # for ``running_call``.
    while True:
        driver, function, argument, outcome = getcurrent()._caller.switch(DONE)  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            outcome += [function(argument), None]
        except BaseException as error:
            outcome += [None, error]
        del driver, function, argument, outcome


class Steps:
    """A *coroutine* that *driver* runs in *context*, each step of it in a greenlet.

    ``depth`` of these greenlets is *depth* at first, and then what the coroutine makes of it.
    """

    __slots__ = ("_context", "_coroutine", "_depth", "_driver", "_outcome", "greenlet")

    def __init__(
        self, driver: Driver, coroutine: Coroutine[Any, Any, Any], context: Context, depth: int
    ) -> None:
        self._driver = driver
        self._coroutine = coroutine
        self._context = context
        self._depth = depth
        #: The greenlet, while there is one.
        self.greenlet: Any = None
        # What the last step has returned and raised; empty while sync code waits in the middle of a step.
        self._outcome: list[Any] = [None, None]

    def go_on(self, value: Any) -> Any:
        """Go on with *value* for what was waited for; return what comes next, ``DONE`` at the end."""
        if self.greenlet is not None and not self._outcome:
            return self._look_at(self.greenlet.resume(value))
        return self._step(self._coroutine.send, value)

    def fail(self, error: BaseException) -> Any:
        """Go on with *error* raised where the coroutine waits; return what comes next."""
        if self.greenlet is not None and not self._outcome:
            return self._look_at(self.greenlet.fail(error))
        return self._step(self._coroutine.throw, error)

    def result(self) -> Any:
        """Return what the coroutine has returned, or raise what it has raised, once. At the end."""
        del self._driver.steps
        raised, self._outcome = self._outcome[1], []
        if type(raised) is StopIteration:
            return raised.value
        try:
            raise raised
        finally:
            del raised  # the traceback leads to this frame

    def _step(self, advance: Callable[[Any], object], argument: Any) -> Any:
        if self.greenlet is None:
            self._take()
        self._outcome.clear()
        return self._look_at(self.greenlet.start(self._driver, advance, argument, self._outcome))

    def _look_at(self, item: Any) -> Any:
        if item is not DONE:
            return item
        item, raised = self._outcome
        if raised is not None:
            self._give_back()
            return DONE
        if self._count_references() == self.greenlet.references:
            self._give_back()
        return item

    def _count_references(self) -> int:
        return getrefcount(self.greenlet)

    def _take(self) -> None:
        idle = _thread.idle
        for _ in range(len(idle)):
            self.greenlet = idle.pop()
            if self._count_references() == self.greenlet.references:
                break
            # Somebody still holds it. To drop it, to be killed when that ends, is what greenlet 2 can't do
            # everywhere.
            idle.insert(0, self.greenlet)
        else:
            self.greenlet = PooledGreenlet()
            self.greenlet.references = self._count_references()
        self.greenlet.gr_context = self._context
        self.greenlet.depth = self._depth

    def _give_back(self) -> None:
        greenlet = self.greenlet
        self._depth = greenlet.depth
        self.greenlet = None
        del greenlet.driver
        greenlet.gr_context = None
        greenlet.depth = 0
        if len(_thread.idle) < _MAX_IDLE:
            _thread.idle.append(greenlet)


class Driver:
    """What drives a greenlet, and what the sync code in there asks for what it can't do itself.

    The call of an async view is one, and so is each task of a request (see ``greenlet_tasks``).
    """

    #: The coroutine that it drives.
    steps: Steps

    @property
    def greenlet(self) -> PooledGreenlet:
        """The greenlet in which the coroutine runs, or in which sync code that it has called waits."""
        greenlet: PooledGreenlet = self.steps.greenlet
        return greenlet

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

    def make_coroutine(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine that is to be driven, which has not begun."""
        raise NotImplementedError

    def prepare_to_begin(self) -> Awaitable[None] | None:
        """Return what is to be awaited before the coroutine begins, if anything is."""

    def finish(self) -> Coroutine[Any, Any, None] | None:
        """Return what is to be awaited when the coroutine has ended, if anything is."""

    def release(self) -> None:
        """Let go of what the coroutine has had, in any case."""

    def conclude(self, steps: Steps) -> Any:
        """Return, or raise, what the driving task is told."""
        return steps.result()

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the coroutine waits; return what comes next."""
        return self.steps.fail(error)

    @coroutine
    def drive(self, context: Context, depth: int = 0) -> Generator[Any, Any, Any]:
        """Run the coroutine in greenlets, in *context*, and return its conclusion. In the driving task.

        All of it is one function: each one in which a task waits holds a quarter of a KiB, and from CPython
        3.12 on half of one, since greenlet makes objects of its frames, too.
        """
        try:
            awaited: Any = self.prepare_to_begin()
            if awaited is not None:
                yield from awaited
            steps = self.steps = Steps(self, self.make_coroutine(), context, depth)
            item = steps.go_on(None)
            while item is not DONE:
                try:
                    if type(item) is CoroutineType:
                        answer = yield from item  # type: ignore[misc]
                    else:
                        awaited = self.prepare_to_wait()
                        if awaited is not None:
                            yield from awaited
                        answer = yield item
                except BaseException as error:
                    item = self.fail(error)
                else:
                    item = steps.go_on(answer)
            awaited = self.finish()
            if awaited is not None:
                yield from awaited
        finally:
            self.release()
        return self.conclude(steps)


async def run_as_part(
    coroutine: Coroutine[Any, Any, T],
    driver: Driver,  # noqa: ARG001 - read by the frame
) -> T | SystemExit | KeyboardInterrupt | GeneratorExit:
    """Await *coroutine*, in a task of its own, as a part of what *driver* drives, for ``running_call``.

    What a task is not to raise is returned. ``SystemExit`` and ``KeyboardInterrupt`` stop the loop, and
    ``GeneratorExit`` closes the coroutines that await the task.
    """
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return error


def running_call(frame: FrameType | None) -> Call | None:
    """Return the call in whose greenlet *frame* is, the innermost one of a thread, or None."""
    while frame is not None and frame.f_code not in {_work.__code__, run_as_part.__code__}:
        frame = frame.f_back
    driver: Driver | None = None if frame is None else frame.f_locals.get("driver")
    return None if driver is None else driver.call


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
    return _thread.call if greenlet is None else greenlet.driver.call


def enter_call(call: Call | None) -> Call | None:
    """Make *call* the one that this thread serves; return the one that it replaces."""
    outer, _thread.call = _thread.call, call
    return outer
