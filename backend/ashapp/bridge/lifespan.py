# SPDX-License-Identifier: MIT
"""Startup and shutdown of the worker (ASGI, "Lifespan Protocol")."""

import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ashapp.bridge.types import Receive, Send

__all__ = ["Lifespan", "LifespanCallable"]

_log = logging.getLogger("ashapp.bridge")

LifespanCallable = Callable[[], object]
RunSync = Callable[[Callable[[], Any]], Awaitable[Any]]


class Lifespan:
    """The callables of one application, run once each time its server starts and stops.

    They take no arguments. An ``async def`` runs on the server's loop, any other callable by
    *run_sync*, so that it may block. Startup stops at the first that fails, and tells the server,
    which then does not serve; shutdown calls all of them, the last registered first.
    """

    def __init__(
        self,
        on_startup: Iterable[LifespanCallable],
        on_shutdown: Iterable[LifespanCallable],
        run_sync: RunSync,
    ) -> None:
        self.on_startup = list(on_startup)
        self.on_shutdown = list(on_shutdown)
        self._run_sync = run_sync

    async def __call__(self, receive: Receive, send: Send) -> None:
        """Answer the server's lifespan messages until it shuts down."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                failure = await self._start()
                await send(_answer("lifespan.startup", failure))
            elif message["type"] == "lifespan.shutdown":
                failure = await self._stop()
                await send(_answer("lifespan.shutdown", failure))
                return

    async def _start(self) -> str | None:
        for function in self.on_startup:
            try:
                await self._call(function)
            except Exception as error:
                return _describe("startup", function, error)
        return None

    async def _stop(self) -> str | None:
        failures = []
        for function in reversed(self.on_shutdown):
            try:
                await self._call(function)
            except Exception as error:
                failures.append(_describe("shutdown", function, error))
        return "; ".join(failures) or None

    async def _call(self, function: LifespanCallable) -> None:
        result = function() if inspect.iscoroutinefunction(function) else await self._run_sync(function)
        if inspect.isawaitable(result):  # a lambda or a partial around a coroutine function
            await result


def _answer(event: str, failure: str | None) -> dict[str, str]:
    if failure is None:
        return {"type": f"{event}.complete"}
    return {"type": f"{event}.failed", "message": failure}


def _describe(event: str, function: LifespanCallable, error: Exception) -> str:
    name = getattr(function, "__qualname__", repr(function))
    _log.error("%s: %s failed", event, name, exc_info=error)
    return f"{event}: {name} failed: {type(error).__name__}: {error}"
