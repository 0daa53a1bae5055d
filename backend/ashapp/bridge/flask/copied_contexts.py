# SPDX-License-Identifier: MIT
"""``flask.copy_current_request_context`` of coroutine functions, called on the loop.

Theory of operation. Flask's wrapper enters the copied context, calls what ``ensure_sync`` makes of the
function, and leaves the context again. On the loop the call can only return an awaitable, so the wrapper
leaves too early. What it would then do, tear down and close the request, is not done: ``is_left_early`` tells
of that. The awaitable enters a copy of its own, in its task, for as long as it runs; leaving that tears down,
as on a thread.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import flask

from ashapp.bridge.concurrency.greenlet_tasks import run_in_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["CopiedContexts", "current_context"]


class CopiedContexts:
    """The contexts of one application that are about to be left too early."""

    def __init__(self) -> None:
        self._left_early: set[Any] = set()

    def call(
        self, func: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        """Return the call of *func* as a coroutine that runs in a copy of the context. On the loop."""
        context = current_context()
        self._left_early.add(context)
        request = vars(context.request)
        request["close"] = partial(request.pop, "close", None)  # which is called once, by the context
        asyncio.get_running_loop().call_soon(self._forget, context)
        return _run(partial(_call, context.copy(), func, args, kwargs))

    def is_left_early(self) -> bool:
        """Say whether the context that is being torn down is left while its function has yet to run."""
        return bool(self._left_early) and current_context() in self._left_early

    def _forget(self, context: Any) -> None:
        self._left_early.discard(context)
        vars(context.request).pop("close", None)


def current_context() -> Any:
    """Return the context of the current request. Flask 3.2 has merged it with that of the application."""
    proxy = vars(flask.globals).get("request_ctx", flask.globals.app_ctx)
    return proxy._get_current_object()  # noqa: SLF001 - documented


async def _run(call: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return await run_in_greenlet(call(), copy_context())


async def _call(
    context: Any,
    func: Callable[..., Coroutine[Any, Any, Any]],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    with context:
        return await func(*args, **kwargs)
