# SPDX-License-Identifier: MIT
"""Lets a thread serve a call: code on it finds the context, the call and the loop of the request.

Theory of operation. Code may call asgiref's own ``async_to_sync``, without Flask. asgiref finds the loop by a
thread-local, so that is set to the loop of the call. There the coroutine runs in a greenlet, and in a copy of
the context, as anywhere else.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync
from greenlet import getcurrent

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets.current import current_call, enter_call
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet

__all__ = ["run_for", "set_main_event_loop"]

T = TypeVar("T")


def run_for(call: Call, context: Context | None, function: Callable[[], object]) -> None:
    """Run *function* on this thread, which serves *call*, with *context* for the current one.

    The context is not entered (``Context.run``): a coroutine of the same request could not run in it on the
    loop while the thread waits.
    """
    # No variable refers to the greenlet: a traceback would keep it longer than its thread, and the garbage
    # collector could then find it freed (greenlet 2.0 to 3.5).
    outer_context = getcurrent().gr_context
    getcurrent().gr_context = context
    outer_call = enter_call(call)
    set_main_event_loop(call.loop)
    try:
        function()
    finally:
        enter_call(outer_call)
        getcurrent().gr_context = outer_context


def set_main_event_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make *loop* the one on which asgiref's ``async_to_sync`` runs coroutines from this thread."""
    local = SyncToAsync.threadlocal
    known = getattr(local, "main_event_loop", None)
    if type(known) is not _MainEventLoop or known.loop is not loop:
        local.main_event_loop = _MainEventLoop(loop)
        local.main_event_loop_pid = os.getpid()


class _MainEventLoop:
    """*loop* as asgiref sees it, which creates a task for each call of ``async_to_sync``.

    If the request on this thread has a loop of its own for coroutines, that is used.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def __getattr__(self, name: str) -> Any:
        call = current_call()
        return getattr(self.loop if call is None else call.coroutine_loop(), name)

    def create_task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.get_running_loop().create_task(run_in_greenlet(coroutine, copy_context()))
