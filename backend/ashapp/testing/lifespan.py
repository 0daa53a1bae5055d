# SPDX-License-Identifier: MIT
"""The lifespan of an application under test (ASGI, "Lifespan Protocol")."""

import asyncio
from contextlib import suppress
from contextvars import Context
from typing import Any

from ashapp.bridge.messages.types import AsgiApplication, Message

__all__ = ["LifespanError", "RunningLifespan"]


class LifespanError(RuntimeError):
    """The application said that its startup or its shutdown failed; the text is its own."""


class RunningLifespan:
    """What a server does for the lifespan of *app*: ``start`` it, and ``stop`` it."""

    def __init__(self, app: AsgiApplication) -> None:
        #: What the startup has put into the scope; each request gets a copy.
        self.state: dict[str, Any] = {}
        self._app = app
        self._events: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the application. One that does not know the protocol is served without it.

        Raises:
            LifespanError: its startup failed.

        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        running = self._app(scope, self._events.get, self._answers.put)
        # A server starts an application in a context that knows of no test.
        self._task = asyncio.get_running_loop().create_task(_awaited(running), context=Context())
        try:
            await self._tell("lifespan.startup")
        except LifespanError:
            self._task.cancel()  # it may wait for a shutdown, which does not follow
            raise

    async def stop(self) -> None:
        """Stop the application.

        Raises:
            LifespanError: its shutdown failed.

        """
        if self._task is not None and not self._task.done():
            await self._tell("lifespan.shutdown")
            await self._task

    async def _tell(self, event: str) -> None:
        assert self._task is not None  # noqa: S101 - it has been started
        answer = asyncio.ensure_future(self._answers.get())
        await self._events.put({"type": event})
        await asyncio.wait({answer, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()  # the application has ended without an answer: it has no lifespan
        elif answer.result()["type"] == f"{event}.failed":
            raise LifespanError(answer.result().get("message", f"{event} failed"))


async def _awaited(running: Any) -> None:
    with suppress(Exception):  # by which an application says that it has no lifespan
        await running
