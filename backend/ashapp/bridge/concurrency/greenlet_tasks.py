# SPDX-License-Identifier: MIT
"""Coroutines outside of an async view's own greenlet, run so that sync code within them can wait.

An async view runs in the greenlet of its request (see ``native``). Other coroutines of a request are tasks,
such as those that a thread reaches (see ``coroutines``). What they call may be sync and have to wait all the
same: for the body of the request, for an async context processor, for a sync one that is to run on a thread.
So each of these tasks drives a greenlet, in which its coroutine is stepped; a ``StandIn`` is there what the
call is for an async view.
"""

from __future__ import annotations

import asyncio
from functools import partial
from types import coroutine as generator_based
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.sync import sync_to_async

from ashapp.bridge.concurrency import greenlets
from ashapp.bridge.concurrency.context import request_locals
from ashapp.bridge.concurrency.thread_locals import open_request_locals

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["StandIn", "note_outcome", "run_in_greenlet"]

T = TypeVar("T")


class StandIn:
    """What sync code in the greenlet of a coroutine asks for, in place of the call of an async view.

    Teardown in there is shielded as that of *call*, if there is one: the one whose thread waits for the
    coroutine, and cancels it with the request.
    """

    #: As of ``LoopCall``; nobody asks here.
    response: Any = None
    info: Any = None
    matched = True
    is_complete = False

    def __init__(self, greenlet: greenlets.PooledGreenlet, call: WsgiCall | None) -> None:
        self._greenlet = greenlet
        self._call = call
        self._tearing_down = False

    def note_match(self, endpoint: str) -> None:
        """See ``WsgiCall``: this comes later."""

    @property
    def served(self) -> WsgiCall | None:
        """The call whose thread waits for the coroutine."""
        return self._call

    @property
    def tearing_down(self) -> bool:
        """Whether Flask tears down a context, which nothing is to interrupt."""
        return self._tearing_down if self._call is None else self._call.tearing_down

    @tearing_down.setter
    def tearing_down(self, value: bool) -> None:
        if self._call is None:
            self._tearing_down = value
        else:
            self._call.tearing_down = value

    def leave_teardown(self, outer: bool) -> None:  # noqa: FBT001 - what ``tearing_down`` was
        """Go back to what ``tearing_down`` was before; see ``WsgiCall``."""
        if self._call is None:
            self._tearing_down = outer
        else:
            self._call.leave_teardown(outer)

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = True) -> Any:  # noqa: ARG002
        """Run *coroutine* to its end, in the greenlet, and return its result."""
        return self._greenlet.wait_for(coroutine)

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* where asgiref runs what is thread-sensitive, and return its result.

        That is the thread that waits for the coroutine, if one does, or the request thread of the request.
        """
        # A task that is not cancelled, because nothing is to run beside the function.
        loop = asyncio.get_running_loop()
        awaited = sync_to_async(function)(*args, **kwargs)
        return self._greenlet.wait_for(_end_of(loop.create_task(awaited, context=self._greenlet.gr_context)))


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


async def run_in_greenlet(
    coroutine: Coroutine[Any, Any, T], context: Context, call: WsgiCall | None = None
) -> T:
    """Run *coroutine* to its end in a greenlet, which has *context*, and return its result.

    *context* is not the one of the calling task, which is entered while the greenlet runs.
    """
    greenlet = greenlets.acquire()
    greenlet.call = StandIn(greenlet, call)
    greenlet.gr_context = context
    outcome: list[Any] = []
    run = note_outcome if call is None else _note_outcome_in_request
    await _drive(greenlet, partial(run, greenlet, coroutine, outcome))
    greenlets.release(greenlet)
    value, error = outcome
    if error is None:
        result: T = value
        return result
    try:
        raise error
    finally:
        del error, outcome  # the traceback leads to this frame


@generator_based
def _drive(greenlet: greenlets.PooledGreenlet, run: Callable[[], None]) -> Generator[Any, Any, None]:
    item = greenlet.start(run)
    while item is not greenlets.DONE:
        try:
            answer = yield item
        except BaseException as error:
            item = greenlet.fail(error)
        else:
            item = greenlet.resume(answer)


def _note_outcome_in_request(
    greenlet: greenlets.PooledGreenlet, coroutine: Coroutine[Any, Any, Any], outcome: list[Any]
) -> None:
    if request_locals.get() is None:
        open_request_locals()
    note_outcome(greenlet, coroutine, outcome)


def note_outcome(
    greenlet: greenlets.PooledGreenlet, coroutine: Coroutine[Any, Any, Any], outcome: list[Any]
) -> None:
    """Run *coroutine* in *greenlet*, and put its value or its error, and None, into *outcome*."""
    try:
        outcome += [greenlet.wait_for(coroutine), None]
    except BaseException as error:
        outcome += [None, error]
