# SPDX-License-Identifier: MIT
"""Tells who calls a coroutine function of the application as if it were sync: Flask, or code in a coroutine.

Flask's own code wants the result, wherever it is called: in an async view ``render_template`` may meet an
async context processor. Any other code that a coroutine calls wants an awaitable, to await it, or to hand it
to ``asyncio.gather``. So those functions of Flask that call functions of the application are called through
``as_flask``.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, TypeVar

from ashapp.bridge.concurrency.context import in_request
from ashapp.bridge.concurrency.greenlets.current import current_greenlet

__all__ = ["as_flask", "wants_awaitable"]

T = TypeVar("T")

# Whether Flask's code runs, in a task that drives no greenlet. It can't be suspended.
_by_flask: ContextVar[bool] = ContextVar("ashapp_by_flask", default=False)


def wants_awaitable() -> bool:
    """Say whether the code that runs now is called by a coroutine of a request, and not by Flask in it.

    For code in no greenlet: in one, its ``depth`` and ``sync_depth`` tell.
    """
    is_in_coroutine = asyncio._get_running_loop() is not None  # noqa: SLF001 - the one that does not raise
    return is_in_coroutine and in_request.get() and not _by_flask.get()


def as_flask(function: Callable[..., T]) -> Callable[..., T]:
    """Return *function* of Flask's so that the functions that it calls give it results."""

    # Not a ``partial``: a call through one holds half a KiB of a greenlet's stack while the view waits.
    def called(*args: Any, **kwargs: Any) -> T:
        if asyncio._get_running_loop() is None:  # noqa: SLF001 - the one that does not raise
            return function(*args, **kwargs)
        greenlet = current_greenlet()
        if greenlet is None:
            token = _by_flask.set(True)
            try:
                return function(*args, **kwargs)
            finally:
                _by_flask.reset(token)
        if greenlet.depth == greenlet.sync_depth:
            return function(*args, **kwargs)
        outer, greenlet.sync_depth = greenlet.sync_depth, greenlet.depth
        try:
            return function(*args, **kwargs)
        finally:
            greenlet.sync_depth = outer

    return called
