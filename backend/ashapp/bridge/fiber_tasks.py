# SPDX-License-Identifier: MIT
"""Coroutines outside of an async view's own fiber, run so that sync code within them can wait.

An async view runs in the fiber of its request (see ``native``). Other coroutines of a request are tasks, such
as those that a thread reaches (see ``coroutines``). What they call may be sync and have to wait all the same:
for the body of the request, for an async context processor, for a sync one that is to run on a thread. So
each of these tasks drives a fiber, in which its coroutine is stepped; a ``StandIn`` is there what the
exchange is for an async view.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import coroutine as generator_based
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from ashapp.bridge import fibers
from ashapp.bridge.contexts import request_locals
from ashapp.bridge.thread_locals import open_request_locals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

    from ashapp.bridge.exchange import Exchange

__all__ = ["StandIn", "note_outcome", "run_in_fiber"]

T = TypeVar("T")


class StandIn:
    """What sync code in the fiber of a coroutine asks for, in place of the exchange of an async view.

    Teardown in there is shielded as that of *exchange*, if there is one: the one whose thread waits for the
    coroutine, and cancels it with the request.
    """

    #: As of ``LoopExchange``; nobody asks here.
    response: Any = None
    notes: Any = None
    matched = True
    is_complete = False

    def __init__(self, fiber: fibers.Fiber, exchange: Exchange | None) -> None:
        self._fiber = fiber
        self._exchange = exchange
        self._tearing_down = False

    def note_match(self, endpoint: str) -> None:
        """See ``Exchange``: this comes later."""

    @property
    def served(self) -> Exchange | None:
        """The exchange whose thread waits for the coroutine."""
        return self._exchange

    @property
    def tearing_down(self) -> bool:
        """Whether Flask tears down a context, which nothing is to interrupt."""
        return self._tearing_down if self._exchange is None else self._exchange.tearing_down

    @tearing_down.setter
    def tearing_down(self, value: bool) -> None:
        if self._exchange is None:
            self._tearing_down = value
        else:
            self._exchange.tearing_down = value

    def leave_teardown(self, outer: bool) -> None:  # noqa: FBT001 - what ``tearing_down`` was
        """Go back to what ``tearing_down`` was before; see ``Exchange``."""
        if self._exchange is None:
            self._tearing_down = outer
        else:
            self._exchange.leave_teardown(outer)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = True) -> Any:  # noqa: ARG002
        """Run *coroutine* to its end, in the fiber, and return its result."""
        return self._fiber.wait_for(coroutine)

    def run_on_lane(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* where asgiref runs what is thread-sensitive, and return its result.

        That is the thread that waits for the coroutine, if one does, or the lane of the request.
        """
        # A task that is not cancelled, because nothing is to run beside the function.
        loop = asyncio.get_running_loop()
        call = sync_to_async(function)(*args, **kwargs)
        return self._fiber.wait_for(_end_of(loop.create_task(call, context=self._fiber.gr_context)))


async def _end_of(task: asyncio.Task[T]) -> T:
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


async def run_in_fiber(
    coroutine: Coroutine[Any, Any, T], context: Context, exchange: Exchange | None = None
) -> T:
    """Run *coroutine* to its end in a fiber, which has *context*, and return its result.

    *context* is not the one of the calling task, which is entered while the fiber runs.
    """
    fiber = fibers.acquire()
    fiber.exchange = StandIn(fiber, exchange)
    fiber.gr_context = context
    outcome: list[Any] = []
    run = note_outcome if exchange is None else _note_outcome_in_request
    await _drive(fiber, partial(run, fiber, coroutine, outcome))
    fibers.release(fiber)
    value, error = outcome
    if error is None:
        result: T = value
        return result
    try:
        raise error
    finally:
        del error, outcome  # the traceback leads to this frame


@generator_based
def _drive(fiber: fibers.Fiber, call: Callable[[], None]) -> Generator[Any, Any, None]:
    item = fiber.start(call)
    while item is not fibers.DONE:
        try:
            answer = yield item
        except BaseException as error:
            item = fiber.fail(error)
        else:
            item = fiber.resume(answer)


def _note_outcome_in_request(
    fiber: fibers.Fiber, coroutine: Coroutine[Any, Any, Any], outcome: list[Any]
) -> None:
    if request_locals.get() is None:
        open_request_locals()
    note_outcome(fiber, coroutine, outcome)


def note_outcome(fiber: fibers.Fiber, coroutine: Coroutine[Any, Any, Any], outcome: list[Any]) -> None:
    """Run *coroutine* in *fiber*, and put its value or its error, and None, into *outcome*."""
    try:
        outcome += [fiber.wait_for(coroutine), None]
    except BaseException as error:
        outcome += [None, error]
