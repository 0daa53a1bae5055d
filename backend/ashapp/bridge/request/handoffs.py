# SPDX-License-Identifier: MIT
"""Hand-offs: work that a greenlet lets a thread or a task do, while it waits without interruption.

Theory of operation. The greenlet asks the task that drives it to wait for the hand-off, and gets its result.
A hand-off runs in the context that is current where it is asked for: that of the request, or one that the
application has entered itself, by ``copy_context().run``.

A hand-off is waited for to its end, because two threads may not use one context. A cancellation that comes
meanwhile reaches the application after that, if the phase allows it. It may be a time-out of the
application's own. There is one exception: if the server stops, or may stop, and the request thread does not
come back for longer than ``grace``, the call is given up. The driving task ends then, and the greenlet stays
suspended. It runs to its end when the thread comes back.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.context import TEMPLATE
from ashapp.bridge.concurrency.futures import resolve, while_handling
from ashapp.bridge.concurrency.greenlets.greenlet_driver import GreenletDriver
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE
from ashapp.bridge.concurrency.serving_thread import run_for
from ashapp.bridge.concurrency.threads.asgiref_locals import carry_locals

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextvars import Context
    from functools import partial

    from ashapp.bridge.concurrency.threads.request_thread import RequestThread

__all__ = ["CallOnLoop", "Handoff", "TaskHandoff", "ThreadHandoff", "wait_on"]

_log = logging.getLogger("ashapp.bridge")

# How often the application may wait again although no event can come any more.
_MOST_WAITS = 100


class CallOnLoop(Call, GreenletDriver):
    """A call whose hand-offs run on the thread of its request."""

    thread: RequestThread
    #: Whether the driving task has ended: no event for the greenlet can come any more.
    is_given_up = False


class Handoff:
    """Something that runs elsewhere in the current context, while its greenlet is suspended."""

    done = False
    #: The call that was given up while it waited.
    given_up_by: CallOnLoop | None = None
    _value: Any = None
    _error: BaseException | None = None
    _waiter: asyncio.Future[None] | None = None

    def __init__(self) -> None:
        self._context: Context | None = getcurrent().gr_context
        self._handled = sys.exception()

    def start(self, call: Call) -> None:
        """Begin. On the loop, outside the greenlet."""
        raise NotImplementedError

    def withdraw(self) -> bool:
        """Say whether the hand-off has not begun, and now never will."""
        return False

    async def wait(self, loop: asyncio.AbstractEventLoop, seconds: float | None = None) -> None:
        """Wait until it is done, or for *seconds*. To cancel this wait does not affect the hand-off."""
        waiter = self._waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, resolve, waiter)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()

    def result(self) -> Any:
        """Return what the hand-off returned, or raise what it raised. In the greenlet, once."""
        error, self._error = self._error, None
        if error is None:
            return self._value
        try:
            raise error
        finally:
            del error  # its traceback leads to this frame

    def _finish(self) -> None:
        self.done = True
        if self._waiter is not None:
            resolve(self._waiter)
        if self.given_up_by is not None:
            _unwind(self.given_up_by)


class ThreadHandoff(Handoff):
    """A sync callable on *thread*, that of the request.

    There ``sys.exception()`` is the exception that its caller handles, as an error handler may expect.
    """

    def __init__(self, thread: RequestThread, function: partial[Any]) -> None:
        super().__init__()
        self._thread = thread
        self._function = function

    def start(self, call: Call) -> None:
        """Begin; see ``Handoff``."""
        self._call = call
        self._thread.submit(self._run)

    def withdraw(self) -> bool:
        """Don't run, if the request still waits for its request thread; see ``Handoff``."""
        return self._thread.withdraw(self._run)

    def __str__(self) -> str:
        return getattr(self._function.func, "__qualname__", repr(self._function.func))

    def _run(self) -> None:
        try:
            run_for(self._call, self._context, self._invoke)
        except BaseException as error:
            self._error = error
        with suppress(RuntimeError):  # the loop has been closed: nobody waits
            self._call.loop.call_soon_threadsafe(self._finish)

    def _invoke(self) -> None:
        carry_locals()
        if self._handled is None:
            self._value = self._function()
            return
        traceback = self._handled.__traceback__
        try:
            raise self._handled  # noqa: TRY301 - to be what is handled while the function runs
        except BaseException as error:
            error.__traceback__ = traceback
            self._value = self._function()


class TaskHandoff(Handoff):
    """A coroutine as a task of its own, in a greenlet of its own."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        super().__init__()
        self._coroutine = coroutine

    def start(self, call: Call) -> None:
        """Begin; see ``Handoff``."""
        context = call.context if self._context is None else self._context
        self._running = self._run()
        task = call.loop.create_task(run_in_greenlet(self._running, context, call), context=TEMPLATE.copy())
        task.add_done_callback(self._end)

    async def _run(self) -> None:
        try:
            self._value = await while_handling(self._handled, self._coroutine)
        except BaseException as error:
            self._error = error

    def _end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():  # before its first step
            self._running.close()
            self._coroutine.close()
            self._error = asyncio.CancelledError()
        self._finish()


async def wait_on(
    handoff: Handoff, call: CallOnLoop, error: asyncio.CancelledError, *, is_shielded: bool, is_own: bool
) -> None:
    """Wait for *handoff* to its end, though *error* has cancelled the task that drives *call*.

    If that *is_own*, the call has cancelled the task itself, and the server does not wait.

    Raises:
        CancelledError: *error*, or what came after it: the phase is not *is_shielded*, and the hand-off has
            ended or has been withdrawn; or the call has been given up.
    """
    interruptions = 1
    while not handoff.done:
        if not is_shielded and handoff.withdraw():
            raise error
        is_limited = isinstance(handoff, ThreadHandoff) and not is_own
        try:
            await handoff.wait(call.loop, call.grace if is_limited else None)
        except asyncio.CancelledError as another:
            error, is_own, interruptions = another, False, interruptions + 1
        else:
            if not (handoff.done or _may_go_on(call, interruptions)):
                _log.error("%s was cancelled, but %s does not return: given up", call, handoff)
                call.is_given_up = True
                handoff.given_up_by = call
                raise error
    if not is_shielded:
        raise error


def _may_go_on(call: CallOnLoop, interruptions: int) -> bool:
    """Say whether the application itself may have cancelled the task, or a server that goes on.

    The server may be known not to stop. If that is not known, the first cancellation of a coroutine counts.
    """
    is_stopping = call.thread.pool.is_stopping()
    return not is_stopping and (is_stopping is False or (call.greenlet.depth > 0 and interruptions < 2))


def _unwind(call: CallOnLoop) -> None:
    """Take the greenlet of *call*, which has been given up, to its end: its context is free by now.

    Otherwise it would stay in memory, or be left to the garbage collector.
    """
    call.is_given_up = False  # so that it goes on
    for _ in range(_MOST_WAITS):
        item = call.fail(asyncio.CancelledError())
        if item is DONE:
            with suppress(BaseException):
                call.result()  # which leads to all that it has left
            return
        if type(item) is CoroutineType:
            item.close()
