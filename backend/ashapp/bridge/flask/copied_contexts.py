# SPDX-License-Identifier: MIT
"""``flask.copy_current_request_context`` of coroutine functions, called on an event loop.

Flask's wrapper enters the copied context, calls the function, and leaves the context again. In a coroutine it
must return an awaitable, and would leave the context before the function has begun. So there the awaitable
enters a copy of its own while the function runs. When it leaves the copy, that is torn down, as usual.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from inspect import iscoroutinefunction
from typing import Any

import flask

from ashapp.bridge.concurrency.greenlets.current import current_greenlet
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet

__all__ = ["current_context", "update_wrapper"]


def update_wrapper(wrapper: Callable[..., Any], func: Callable[..., Any]) -> Callable[..., Any]:
    """Make *wrapper*, which ``copy_current_request_context`` has made of *func*, look like *func*.

    This takes the place of ``functools.update_wrapper`` there. For a coroutine function it returns another
    wrapper, which in a coroutine returns a coroutine.
    """
    if not iscoroutinefunction(func):
        return functools.update_wrapper(wrapper, func)
    context = current_context().copy()

    @functools.wraps(func)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _in_coroutine():
            return wrapper(*args, **kwargs)
        return _run(context.copy(), func(*args, **kwargs))

    return call


def current_context() -> Any:
    """Return the context of the current request. Flask 3.2 has merged it with that of the application."""
    proxy = vars(flask.globals).get("request_ctx", flask.globals.app_ctx)
    return proxy._get_current_object()  # noqa: SLF001 - see ``patches``


def _in_coroutine() -> bool:
    greenlet = current_greenlet()
    if greenlet is not None:
        return greenlet.depth > 0
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - the one that does not raise


async def _run(context: Any, coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def enter() -> Any:
        with context:
            return await coroutine

    return await run_in_greenlet(enter(), copy_context())
