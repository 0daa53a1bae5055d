# SPDX-License-Identifier: MIT
"""Processes that code of a request forks. They are no part of the service.

Theory of operation. A forked child has a copy of the whole server, and one thread: the one that has forked.
Most children never return from there: ``multiprocessing`` and ``os._exit`` prevent it. A child that returns
from the view, or leaves it by ``sys.exit``, would be a second server. On the loop it would answer other
clients and handle the events of its parent. On a thread it would run queued requests a second time, or wait
for ever, and keep the port.

So when such a child comes back to the bridge it is ended, with the code of ``sys.exit``. It runs no exit
handlers of its parent. Requests pay nothing for this: only at a fork, the objects that lead back to the
server are replaced in the child. Code that the child itself calls finds no request of a server, as in any
process.
"""

import asyncio
import functools
import logging
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

from ashapp.bridge.concurrency.context import in_request
from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet, enter_call
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE, PooledGreenlet
from ashapp.bridge.concurrency.threads.request_thread import current_request_thread

__all__ = ["WayBack", "end_forked_child", "look_after_forks"]

_log = logging.getLogger("ashapp.bridge")


def end_forked_child(error: BaseException | None = None) -> NoReturn:
    """End this process, a forked child, with the exit code of *error*, by which it has left its code."""
    error = error or sys.exception()
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = _code_of(error)
        elif error is not None:
            code = 1
            _log.error("A forked child has failed, and ends", exc_info=error)
        else:
            _log.warning(
                "A forked child has come back to the server, which it is no part of, and ends: "
                "end it by os._exit(), or start a process by multiprocessing or subprocess"
            )
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError, ValueError):  # there is none
                stream.flush()
    finally:
        os._exit(code)


def _code_of(error: SystemExit) -> int:
    if error.code is None or isinstance(error.code, int):
        return (error.code or 0) & 0xFF
    with suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"{error.code}\n")
    return 1


class WayBack:
    """Stands in a forked child for the loop and for the driver of its greenlet: the child ends there."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver

    def call_soon_threadsafe(self, callback: Any = None, *_: object, **__: object) -> NoReturn:
        """End this process, which would tell the loop that something is done."""
        end_forked_child(getattr(getattr(callback, "__self__", None), "_error", None))

    def switch(self, item: object = None, *_: object, **__: object) -> NoReturn:
        """End this process, which would wait for the loop, send, or be done with the request."""
        end_forked_child(self._driver.error if item is DONE else sys.exception())


class _DisownedGreenlet(PooledGreenlet):
    """The greenlet that has forked, in the child: it ends where it would wait for the loop."""

    __slots__ = ()


def _note_loop() -> None:
    _forking.loop = asyncio._get_running_loop() if in_request.get() else None  # noqa: SLF001 - does not raise


def _leave_server() -> None:
    call, greenlet, loop = current_call(), current_greenlet(), _forking.loop
    way_back: Any = WayBack(None if greenlet is None else greenlet.driver)
    if call is not None:
        call.disown(way_back)
        enter_call(None)
    request_thread = current_request_thread.get()
    if request_thread is not None:
        request_thread.end()
    if loop is not None:
        if greenlet is not None:
            # Code that runs in it is not to find it: it drives no greenlet here, and waits for nothing.
            greenlet.caller = way_back
            greenlet.__class__ = _DisownedGreenlet
        loop.call_soon(end_forked_child)


class _Forking:
    """The loop that runs on the thread that forks, if that is in a request."""

    loop: asyncio.AbstractEventLoop | None = None


_forking = _Forking()


@functools.cache
def look_after_forks() -> None:
    """From now on end each child of a request's code that comes back. To be called once."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_note_loop, after_in_child=_leave_server)
