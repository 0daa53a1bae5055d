# SPDX-License-Identifier: MIT
"""A coroutine that a task runs step by step, each step of it in a greenlet."""

from __future__ import annotations

import threading
from sys import getrefcount
from types import CoroutineType, coroutine
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

from ashapp.bridge.concurrency.greenlets.driver import Driver
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE, PooledGreenlet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextvars import Context

__all__ = ["GreenletDriver"]

# How many are kept by each thread: idle ones hold memory.
_MAX_IDLE = 256


class _Thread(threading.local):
    """The greenlets of a thread that have nothing to do."""

    def __init__(self) -> None:
        #: Those that nobody knows.
        self.idle: list[PooledGreenlet] = []
        #: Those that somebody holds.
        self.held: list[PooledGreenlet] = []


_thread = _Thread()


class GreenletDriver(Driver):
    """Runs a coroutine step by step, each of them in a greenlet that it drives.

    What comes before, between and after them are methods for subclasses. All of them are called in the
    driving task, outside of the greenlets.
    """

    __slots__ = ("_coroutine", "_depth", "_greenlet_context", "_outcome", "greenlet")

    #: The greenlet in which the coroutine runs, or in which sync code that it has called waits.
    greenlet: Any

    # -- for subclasses

    def make_coroutine(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine, which has not begun."""
        raise NotImplementedError

    def prepare_to_begin(self) -> Awaitable[None] | None:
        """Return what is to be awaited before the coroutine begins, if anything is."""

    def prepare_to_wait(self) -> Coroutine[Any, Any, None] | None:
        """Return what is to be awaited before a future that the greenlet has handed over, if anything is."""

    def finish(self) -> Coroutine[Any, Any, None] | None:
        """Return what is to be awaited when the coroutine has ended, if anything is."""

    def release(self) -> None:
        """Let go of what the coroutine has had, in any case."""

    def conclude(self) -> Any:
        """Return, or raise, what the driving task is told."""
        return self.result()

    # -- in the driving task

    @coroutine
    def drive(self, context: Context, depth: int = 0) -> Generator[Any, Any, Any]:
        """Run the coroutine in greenlets, in *context*, and return its conclusion.

        ``depth`` of these greenlets is *depth* at first, and then what the coroutine makes of it.

        All of it is one function: each one in which a task waits holds a quarter of a KiB, and from CPython
        3.12 on half of one, since greenlet makes objects of its frames, too.
        """
        try:
            awaited: Any = self.prepare_to_begin()
            if awaited is not None:
                yield from awaited
            self._coroutine = self.make_coroutine()
            self._greenlet_context = context
            self._depth = depth
            self.greenlet = None
            # What the last step has returned and raised; empty while sync code waits in the middle of a step.
            self._outcome: list[Any] = [None, None]
            item = self._go_on(None)
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
                    item = self._go_on(answer)
            awaited = self.finish()
            if awaited is not None:
                yield from awaited
        finally:
            self.release()
        return self.conclude()

    def fail(self, error: BaseException) -> Any:
        """Raise *error* where the coroutine waits; return what comes next, ``DONE`` at the end."""
        if self._outcome:
            return self._step(self._coroutine.throw, error)
        return self._look_at(self.greenlet.fail(error))

    def result(self) -> Any:
        """Return what the coroutine has returned, or raise what it has raised, once. At the end."""
        raised, self._outcome = self._outcome[1], []
        if type(raised) is StopIteration:
            return raised.value
        try:
            raise raised
        finally:
            del raised  # the traceback leads to this frame

    def _go_on(self, value: Any) -> Any:
        if self._outcome:
            return self._step(self._coroutine.send, value)
        return self._look_at(self.greenlet.resume(value))

    def _step(self, advance: Callable[[Any], object], argument: Any) -> Any:
        if self.greenlet is None:
            self._take()
        self._outcome.clear()
        return self._look_at(self.greenlet.start(self, advance, argument, self._outcome))

    def _look_at(self, item: Any) -> Any:
        if item is not DONE:
            return item
        item, raised = self._outcome
        is_held = self._count_references() != self.greenlet.references
        is_marked = _is_marked(self.greenlet)
        if raised is None and (is_held or is_marked):
            return item
        self._give_back(_thread.held if is_held else None if is_marked else _thread.idle)
        return item if raised is None else DONE

    def _count_references(self) -> int:
        return getrefcount(self.greenlet)

    def _take(self) -> None:
        if _thread.idle:
            self.greenlet = _thread.idle.pop()
        elif not self._take_held():
            self.greenlet = PooledGreenlet()
            self.greenlet.references = self._count_references()
        self.greenlet.gr_context = self._greenlet_context
        self.greenlet.depth = self._depth

    def _take_held(self) -> bool:
        """Take a greenlet that nobody holds any more; say whether there is one."""
        held = _thread.held
        for _ in range(len(held)):
            self.greenlet = held.pop()
            if self._count_references() != self.greenlet.references:
                # To drop it, to be killed when who holds it ends, is what greenlet 2 can't do everywhere.
                held.insert(0, self.greenlet)
            elif not _is_marked(self.greenlet):
                return True
        return False

    def _give_back(self, kept: list[PooledGreenlet] | None) -> None:
        """Add the greenlet to *kept*, if it is to be kept, as far as there is room."""
        greenlet = self.greenlet
        self._depth = greenlet.depth
        self.greenlet = None
        del greenlet.driver
        greenlet.gr_context = None
        greenlet.depth = 0
        if kept is not None and len(kept) < _MAX_IDLE:
            kept.append(greenlet)


def _is_marked(greenlet: PooledGreenlet) -> bool:
    """Say whether somebody knows *greenlet* by a weak reference, or has kept something on it.

    So do locals of gevent: the next request would find there what this one has kept.
    """
    return getweakrefcount(greenlet) > 0 or bool(greenlet.__dict__)
