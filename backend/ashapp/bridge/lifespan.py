# SPDX-License-Identifier: MIT
"""Startup and shutdown of the worker (ASGI, "Lifespan Protocol")."""

import asyncio
import gc
import inspect
import logging
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

from ashapp.bridge.admission.websockets import Websockets
from ashapp.bridge.concurrency.futures import as_exception, cancelling
from ashapp.bridge.concurrency.own_loop import drain_own_loops
from ashapp.bridge.concurrency.serving_thread import set_main_event_loop
from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.bridge.mounts import Mounts
from ashapp.bridge.options import BridgeOptions, LifespanCallable
from ashapp.bridge.request.service import Service

__all__ = ["Lifespan"]

_log = logging.getLogger("ashapp.bridge")


# Seconds between checks whether requests are in flight.
_DRAIN_INTERVAL = 0.01


class Lifespan:
    """The callables of an application, run once each time its server starts and stops.

    *options* has them. They take no arguments. An ``async def`` runs on the server's loop, any other callable
    on a thread of *service*, so that it may block. The option ``lifespan`` makes an async context manager of
    *app*. It is entered before the callables of startup and left after those of shutdown. A mapping that it
    gives is put into the ``state`` of the server's scopes. Startup stops at the first failure, and tells the
    server, which then does not serve. Shutdown waits for requests, *websockets* and tasks for the grace of
    *service*, and then calls all callables, the last registered first.

    *mounts* have lifespans of their own, which are entered after those of *app* and left before them.

    The attributes ``on_startup``, ``on_shutdown`` (a callable, or several) and ``lifespan`` of *app* count
    too, as they are at the startup.

    From startup to shutdown, full garbage collections look at no object that is there after the startup
    (`gc.freeze`), where the server's loop is on the main thread.
    """

    def __init__(
        self, app: Any, service: Service, websockets: Websockets, mounts: Mounts, options: BridgeOptions
    ) -> None:
        self.on_startup = list(options.get("on_startup", ()))
        self.on_shutdown = list(options.get("on_shutdown", ()))
        self.manager = options.get("lifespan")
        #: Whether the shutdown has begun; None as long as the server has not started by this protocol.
        self.is_stopping: bool | None = None
        self._app = app
        self._service = service
        self._websockets = websockets
        self._mounts = mounts

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
                    else:
                        _freeze(stack)
                    self.is_stopping = None if failures else False
                    await send(_answer("lifespan.startup", failures))
            self.is_stopping = True
            await send(_answer("lifespan.shutdown", await self._stop(stack)))
        for pool in (self._service.pool, self._websockets.pool, self._service.request_threads):
            pool.dismiss()

    async def _start(self, scope: Scope, stack: AsyncExitStack) -> list[str]:
        failures: list[str] = []
        mounted = (mount.lifespan for mount in self._mounts.values())
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
        await self.drain()
        for function in reversed(self.on_shutdown + self._of_application("on_shutdown")):
            with _noting("shutdown", function, failures):
                await self._call(function)
        await self._leave(stack, failures)
        return failures

    async def drain(self) -> None:
        """Wait until requests, WebSockets and tasks have ended; cancel the tasks that are late."""
        # Teardown of requests that the server gave up still needs the objects that shutdown closes.
        service, websockets = self._service, self._websockets
        loop = asyncio.get_running_loop()
        deadline = loop.time() + service.grace
        while (service.admission.in_flight or websockets.open) and loop.time() < deadline:  # noqa: ASYNC110 - an event would cost each request
            await asyncio.sleep(_DRAIN_INTERVAL)
        await drain_own_loops(max(deadline - loop.time(), 0))
        await service.tasks.drain(max(deadline - loop.time(), 0))

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

    async def _run_sync(self, function: LifespanCallable) -> Any:
        loop = asyncio.get_running_loop()

        def call() -> Any:
            set_main_event_loop(loop)
            try:
                return function()
            except StopIteration as error:  # which a future can't hold
                raise as_exception(error) from error

        return await asyncio.wrap_future(self._service.pool.call(call))


def _freeze(stack: AsyncExitStack) -> None:
    """Spare full collections what there is now, until *stack* is closed: an application has many objects.

    On another thread than the main one the process belongs to somebody else, as to tests.
    """
    if threading.current_thread() is threading.main_thread():
        if not gc.get_freeze_count():  # else what somebody else has frozen would be undone
            stack.callback(gc.unfreeze)
        gc.freeze()


@contextmanager
def _noting(event: str, function: Any, failures: list[str]) -> Iterator[None]:
    """Log an error that *function* raises, and add its text for the server to *failures*.

    Any exception: a startup may call ``sys.exit()``, and a shutdown may await a cancelled task.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, GeneratorExit) or cancelling():
            raise
        name = getattr(function, "__qualname__", str(function))
        _log.error("%s: %s failed", event, name, exc_info=error)
        failures.append(f"{event}: {name} failed: {type(error).__name__}: {error}")


def _answer(event: str, failures: list[str]) -> dict[str, str]:
    if failures:
        return {"type": f"{event}.failed", "message": "; ".join(failures)}
    return {"type": f"{event}.complete"}
