# SPDX-License-Identifier: MIT
"""The server's side of the lifespan of an ASGI application (ASGI, "Lifespan Protocol")."""

import asyncio
from contextvars import Context
from typing import Any

from ashapp.bridge.messages.types import AsgiApplication, Message, Scope

__all__ = ["LifespanError", "LifespanRunner"]


class LifespanError(RuntimeError):
    """The application said that its startup or its shutdown failed; the text is its own."""


class LifespanRunner:
    """Runs the lifespan of *app* as a server does: ``start`` it, and ``stop`` it."""

    def __init__(self, app: AsgiApplication) -> None:
        #: The ``state`` that the startup has filled; each request gets a copy.
        self.state: dict[str, Any] = {}
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._is_started = False

    async def start(self) -> None:
        """Start the application. One that raises in place of an answer is served without a lifespan.

        Raises:
            LifespanError: its startup failed.
        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        loop = asyncio.get_running_loop()
        # In a context of its own: what runs around it is not for the application to see.
        self._task = loop.create_task(self._run(scope), context=Context())
        try:
            await self._tell(self._task, "lifespan.startup")
        except LifespanError:
            self._task.cancel()  # it may wait for a shutdown, which does not follow
            await asyncio.wait({self._task})
            raise
        self._is_started = not self._task.done()

    async def stop(self) -> None:
        """Stop the application.

        Raises:
            LifespanError: its shutdown failed, or it has ended before with an exception.
        """
        if self._task is not None and self._is_started:
            await self._tell(self._task, "lifespan.shutdown")
            await asyncio.wait({self._task})
            error = self._task.exception()
            if error is not None:
                raise LifespanError(f"{type(error).__name__}: {error}") from error

    async def _run(self, scope: Scope) -> None:
        try:
            await self._app(scope, self._events.get, self._answers.put)
        except (SystemExit, KeyboardInterrupt) as error:  # a task that raises these would stop the loop
            raise LifespanError(f"{type(error).__name__}: {error}") from error

    async def _tell(self, task: asyncio.Task[None], event: str) -> None:
        answer = asyncio.ensure_future(self._answers.get())
        await self._events.put({"type": event})
        await asyncio.wait({answer, task}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            error = task.exception()  # has been looked at
            if isinstance(error, LifespanError):
                raise error
        elif answer.result()["type"] == f"{event}.failed":
            raise LifespanError(answer.result().get("message", "") or f"{event} failed")
