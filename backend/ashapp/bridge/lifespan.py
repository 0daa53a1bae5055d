# SPDX-License-Identifier: MIT
"""Startup and shutdown of the worker (ASGI, "Lifespan Protocol")."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import Receive, Scope, Send
    from ashapp.bridge.mounts import Mount

__all__ = ["Lifespan", "LifespanCallable", "LifespanManager", "RunSync"]

_log = logging.getLogger("ashapp.bridge")

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

    *mounts* have lifespans of their own, which are entered after those of *app* and left before them.

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
        mounts: Iterable[Mount] = (),
    ) -> None:
        self.on_startup = list(on_startup)
        self.on_shutdown = list(on_shutdown)
        self.manager = manager
        #: Whether the shutdown has begun; None as long as the server has not started by this protocol.
        self.is_stopping: bool | None = None
        self._app = app
        self._mounts = mounts
        self._run_sync = run_sync
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the server's lifespan messages until it shuts down."""
        has_started = False
        async with AsyncExitStack() as stack:
            while (event := (await receive())["type"]) != "lifespan.shutdown":
                if has_started:
                    await asyncio.sleep(0)  # a ``receive`` that repeats itself may never wait
                elif event == "lifespan.startup":
                    has_started = True
                    failures = await self._start(scope, stack)
                    if failures:  # no shutdown has to follow: what has been entered is left now
                        await self._leave(stack, failures)
                    self.is_stopping = None if failures else False
                    await send(_answer("lifespan.startup", failures))
            self.is_stopping = True
            await send(_answer("lifespan.shutdown", await self._stop(stack)))

    async def _start(self, scope: Scope, stack: AsyncExitStack) -> list[str]:
        failures: list[str] = []
        mounted = (mount.lifespan for mount in self._mounts)
        for manager in (self.manager, getattr(self._app, "lifespan", None), *mounted):
            if manager is not None and not failures:
                with _noting("startup", manager, failures):
                    state = await stack.enter_async_context(manager(self._app))
                    if isinstance(state, MutableMapping) and "state" in scope:
                        scope["state"].update(state)
        for function in self.on_startup + self._of_application("on_startup"):
            if not failures:
                with _noting("startup", function, failures):
                    await self._call(function)
        return failures

    async def _stop(self, stack: AsyncExitStack) -> list[str]:
        failures: list[str] = []
        await self._drain()
        for function in reversed(self.on_shutdown + self._of_application("on_shutdown")):
            with _noting("shutdown", function, failures):
                await self._call(function)
        await self._leave(stack, failures)
        return failures

    async def _leave(self, stack: AsyncExitStack, failures: list[str]) -> None:
        with _noting("shutdown", "lifespan", failures):
            await stack.aclose()

    def _of_application(self, name: str) -> list[LifespanCallable]:
        """Return the callables that the application has in an attribute."""
        found = getattr(self._app, name, ())
        return [found] if callable(found) else list(found)

    async def _call(self, function: LifespanCallable) -> None:
        result = function() if inspect.iscoroutinefunction(function) else await self._run_sync(function)
        if inspect.isawaitable(result):  # a lambda or a partial around a coroutine function
            await result


@contextmanager
def _noting(event: str, function: Any, failures: list[str]) -> Iterator[None]:
    """Log an error that *function* raises, and add to *failures* what the server is told of it."""
    try:
        yield
    except (Exception, SystemExit) as error:  # a startup may well give up by sys.exit()
        name = getattr(function, "__qualname__", str(function))
        _log.error("%s: %s failed", event, name, exc_info=error)
        failures.append(f"{event}: {name} failed: {type(error).__name__}: {error}")


def _answer(event: str, failures: list[str]) -> dict[str, str]:
    if failures:
        return {"type": f"{event}.failed", "message": "; ".join(failures)}
    return {"type": f"{event}.complete"}
