# SPDX-License-Identifier: MIT
"""A coroutine that a task runs step by step, each step of it in a greenlet."""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from types import CoroutineType, coroutine
from typing import Any

from ashapp.bridge.concurrency.greenlets.pool import give_back, take
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE, Driver

__all__ = ["GreenletDriver"]


class GreenletDriver(Driver):
    """Runs a coroutine step by step, each step in a greenlet that it drives.

    Subclasses say what comes before, between and after the steps. Their methods are called in the driving
    task, outside of the greenlets.
    """

    __slots__ = ("_coroutine", "_depth", "_greenlet_context", "_outcome", "greenlet")

    #: The greenlet in which the coroutine runs, or in which sync code that it has called waits.
    greenlet: Any

    # -- for subclasses

    def make_coroutine(self) -> Coroutine[Any, Any, Any]:
        """Return the coroutine, which has not begun."""
        raise NotImplementedError

    def prepare_to_begin(self) -> Awaitable[None] | None:
        """Return an awaitable for before the coroutine begins, or None."""

    def prepare_to_wait(self) -> Coroutine[Any, Any, None] | None:
        """Return an awaitable for before each future that the greenlet hands over, or None."""

    def finish(self) -> Coroutine[Any, Any, None] | None:
        """Return an awaitable for after the end of the coroutine, or None."""

    def release(self) -> None:
        """Release the resources of the coroutine, in any case."""

    def conclude(self) -> Any:
        """Return the result of the driving task, or raise its exception."""
        return self.result()

    # -- in the driving task

    @coroutine
    def drive(self, context: Context, depth: int = 0) -> Generator[Any, Any, Any]:
        """Run the coroutine in greenlets, in *context*, and return its conclusion.

        ``depth`` of these greenlets is *depth* at first; the coroutine may change it.

        All of it is one function: each function in which a task waits holds 0.25 KiB, and since CPython 3.12
        0.5 KiB, as greenlet makes frame objects, too.
        """
        try:
            awaited: Any = self.prepare_to_begin()
            if awaited is not None:
                yield from awaited
            self._coroutine = self.make_coroutine()
            self._greenlet_context = context
            self._depth = depth
            self.greenlet = None
            # The result and the exception of the last step; empty while sync code waits in the middle of a
            # step.
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
        """Raise *error* where the coroutine waits; return the next item, ``DONE`` at the end."""
        if self._outcome:
            return self._step(self._coroutine.throw, error)
        return self._look_at(self.greenlet.fail(error))

    def result(self) -> Any:
        """Return the result of the coroutine, or raise its exception, once. At the end."""
        raised, self._outcome = self._outcome[1], []
        if type(raised) is StopIteration:
            return raised.value
        try:
            raise raised
        finally:
            del raised  # the traceback leads to this frame

    @property
    def error(self) -> BaseException | None:
        """The exception of the coroutine's last step, unless that is its end."""
        raised = self._outcome[1] if self._outcome else None
        return None if type(raised) is StopIteration else raised

    def _go_on(self, value: Any) -> Any:
        if self._outcome:
            return self._step(self._coroutine.send, value)
        return self._look_at(self.greenlet.resume(value))

    def _step(self, advance: Callable[[Any], object], argument: Any) -> Any:
        if self.greenlet is None:
            take(self, self._greenlet_context, self._depth)
        self._outcome.clear()
        return self._look_at(self.greenlet.start(self, advance, argument, self._outcome))

    def _look_at(self, item: Any) -> Any:
        if item is not DONE:
            return item
        item, raised = self._outcome
        self._depth = self.greenlet.depth
        give_back(self, has_ended=raised is not None)
        return item if raised is None else DONE
