# SPDX-License-Identifier: MIT
"""Startup and shutdown of the worker (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import Receive, Scope, Send

__all__ = ["Lifespan", "LifespanCallable", "LifespanManager"]

_log = logging.getLogger("ashapp.bridge")

# A startup may well give up by sys.exit(): the server is to be told why, no task is to raise it.
_FAILURES = (Exception, SystemExit)

LifespanCallable = Callable[[], object]
LifespanManager = Callable[[Any], AbstractAsyncContextManager[Any]]
RunSync = Callable[[Callable[[], Any]], Awaitable[Any]]


class Lifespan:
    """The callables of an application, run once each time its server starts and stops.

    They take no arguments. An ``async def`` runs on the server's loop, any other callable by
    *run_sync*, so that it may block. *manager* makes an async context manager of *app*: it is entered
    before the callables of startup and left after those of shutdown; a mapping that it gives is put
    into the ``state`` of the server's scopes. Startup stops at the first that fails, and tells the
    server, which then does not serve; shutdown calls all, the last registered first.

    What *app* has in attributes of the names ``on_startup``, ``on_shutdown`` (a callable, or several) and
    ``lifespan`` counts too, at the time of the startup.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what there is to run, and how
        self,
        app: Any,
        run_sync: RunSync,
        drain: Callable[[], Awaitable[None]],
        on_startup: Iterable[LifespanCallable] = (),
        on_shutdown: Iterable[LifespanCallable] = (),
        manager: LifespanManager | None = None,
    ) -> None:
        self.on_startup = list(on_startup)
        self.on_shutdown = list(on_shutdown)
        self.manager = manager
        #: Whether the shutdown has begun; None as long as the server has not started by this protocol.
        self.is_stopping: bool | None = None
        self._app = app
        self._run_sync = run_sync
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the server's lifespan messages until it shuts down."""
        started = False
        async with AsyncExitStack() as stack:
            while True:
                message = await receive()
                if message["type"] == "lifespan.startup":
                    if started:  # a `receive` that repeats itself, and may never wait
                        await asyncio.sleep(0)
                        continue
                    started = True
                    failure = await self._start(scope, stack)
                    self.is_stopping = False if failure is None else None
                    await send(_answer("lifespan.startup", failure))
                elif message["type"] == "lifespan.shutdown":
                    self.is_stopping = True
                    failure = await self._stop(stack)
                    await send(_answer("lifespan.shutdown", failure))
                    return

    async def _start(self, scope: Scope, stack: AsyncExitStack) -> str | None:
        for manager in (self.manager, getattr(self._app, "lifespan", None)):
            if manager is None:
                continue
            try:
                state = await stack.enter_async_context(manager(self._app))
            except _FAILURES as error:
                return _describe("startup", manager, error)
            if isinstance(state, MutableMapping) and "state" in scope:
                scope["state"].update(state)
        for function in self.on_startup + _callables(self._app, "on_startup"):
            try:
                await self._call(function)
            except _FAILURES as error:
                return _describe("startup", function, error)
        return None

    async def _stop(self, stack: AsyncExitStack) -> str | None:
        failures = []
        await self._drain()
        for function in reversed(self.on_shutdown + _callables(self._app, "on_shutdown")):
            try:
                await self._call(function)
            except _FAILURES as error:
                failures.append(_describe("shutdown", function, error))
        try:
            await stack.aclose()
        except _FAILURES as error:
            failures.append(_describe("shutdown", self.manager or self._app.lifespan, error))
        return "; ".join(failures) or None

    async def _call(self, function: LifespanCallable) -> None:
        result = function() if inspect.iscoroutinefunction(function) else await self._run_sync(function)
        if inspect.isawaitable(result):  # a lambda or a partial around a coroutine function
            await result


def _callables(app: Any, name: str) -> list[LifespanCallable]:
    found = getattr(app, name, ())
    return [found] if callable(found) else list(found)


def _answer(event: str, failure: str | None) -> dict[str, str]:
    if failure is None:
        return {"type": f"{event}.complete"}
    return {"type": f"{event}.failed", "message": failure}


def _describe(event: str, function: Callable[..., Any], error: BaseException) -> str:
    name = getattr(function, "__qualname__", repr(function))
    _log.error("%s: %s failed", event, name, exc_info=error)
    return f"{event}: {name} failed: {type(error).__name__}: {error}"
