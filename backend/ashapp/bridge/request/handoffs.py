# SPDX-License-Identifier: MIT
"""What a greenlet has done elsewhere, and waits for without being interrupted.

Theory of operation. The greenlet asks the task that drives it to wait for the hand-off, and gets its result.
A hand-off runs in the context that is current where it is asked for. That is the one of the request, or one
that the application has entered itself, by ``copy_context().run``.

A hand-off is waited for to its end, because two threads may not use one context. A cancellation that comes
meanwhile waits for that, and reaches the application then, if the phase allows it. Only where the server
waits for the request to end, and a request thread does not come back for longer than ``grace``, is the call
given up (``Patience``): the driving task ends, and the greenlet stays as it is. It is taken to its end when
the thread comes back.
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
    from collections.abc import Callable, Coroutine
    from contextvars import Context
    from functools import partial

    from ashapp.bridge.concurrency.threads.request_thread import RequestThread

__all__ = ["CallOnLoop", "Handoff", "Patience", "TaskHandoff", "ThreadHandoff"]

_log = logging.getLogger("ashapp.bridge")

# How often the application may wait anew when nothing comes any more.
_MOST_WAITS = 100


class CallOnLoop(Call, GreenletDriver):
    """A call that has its hand-offs done on the thread of its request."""

    thread: RequestThread


class Handoff:
    """Something that runs elsewhere in the current context, while its greenlet is suspended."""

    done = False
    #: What is called when it has ended, after nobody waited for it any more. On the loop.
    on_late_end: Callable[[], None] | None = None
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

    def waiter(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a new future to wait for; to cancel that does not touch the hand-off."""
        self._waiter = loop.create_future()
        return self._waiter

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
        if self.on_late_end is not None:
            self.on_late_end()


class ThreadHandoff(Handoff):
    """A sync callable on *thread*, that of the request.

    It finds there what its caller handles (``sys.exception()``), as an error handler may expect.
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
        """Do not run where the request still waits for its request thread; see ``Handoff``."""
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


class Patience:
    """How long *call*, whose task has been cancelled, goes on to wait for its request thread. On the loop.

    A cancellation may be a time-out of the application's own, which has to wait for the thread. So nothing is
    given up while the server is known not to stop, nor, where that is not known, at the first cancellation of
    a coroutine.
    """

    def __init__(self, call: CallOnLoop) -> None:
        #: Whether the call has been given up.
        self.is_over = False
        self._call = call
        # How often the call has been cancelled while it waited for a hand-off.
        self._interruptions = 0

    async def wait(
        self, handoff: Handoff, error: asyncio.CancelledError, *, is_shielded: bool, is_own: bool
    ) -> None:
        """Wait on for *handoff*, though *error* has cancelled the driving task.

        Then, or where the hand-off can be withdrawn, *error* is raised, unless the phase *is_shielded*. If
        it *is_own*, the call has cancelled the task itself, and nobody waits for that.
        """
        while not (handoff.done or self.is_over):
            self._interruptions += 1
            if not is_shielded and handoff.withdraw():
                raise error
            is_limited = isinstance(handoff, ThreadHandoff) and not is_own
            try:
                await self._wait(handoff, self._call.grace if is_limited else None)
            except asyncio.CancelledError as another:
                error, is_own = another, False
        if self.is_over or not is_shielded:
            raise error

    async def _wait(self, handoff: Handoff, seconds: float | None) -> None:
        """Wait until *handoff* is done; every so many *seconds*, see whether to give the call up."""
        call = self._call
        while not handoff.done:
            await asyncio.wait([handoff.waiter(call.loop)], timeout=seconds)
            if not (handoff.done or self._may_be_its_own()):
                _log.error(
                    "%s was cancelled, but %s has not returned for %s s: given up", call, handoff, seconds
                )
                self.is_over = True
                handoff.on_late_end = self._unwind
                return

    def _may_be_its_own(self) -> bool:
        """Say whether the cancellation may be the application's own, or of a server that goes on."""
        stopping = self._call.thread.pool.is_stopping()
        return not stopping and (
            stopping is False or (self._call.greenlet.depth > 0 and self._interruptions < 2)
        )

    def _unwind(self) -> None:
        """Take the greenlet of the call to its end: its context is free by now.

        Nothing that it waits for comes any more. Otherwise it would be kept, or be for the garbage collector.
        """
        self.is_over = False  # so that the call lets it go on
        for _ in range(_MOST_WAITS):
            item = self._call.fail(asyncio.CancelledError())
            if item is DONE:
                with suppress(BaseException):
                    self._call.result()  # which leads to all that it has left
                return
            if type(item) is CoroutineType:
                item.close()
