# SPDX-License-Identifier: MIT
"""The async client."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.lifespan_runner import LifespanRunner
from ashapp.bridge.messages.types import AsgiApplication
from ashapp.testing.transport import AsgiTransport, Tasks
from ashapp.testing.websocket import AsyncWebSocketSession

__all__ = ["AsyncClient"]


class AsyncClient(httpx.AsyncClient):
    """An ``httpx.AsyncClient`` whose requests go to *app*, on the loop of the test, without a port.

    *app* is an ASGI application, or a Flask object, which is bridged with the defaults. Within
    ``async with`` its lifespan runs. An exception that the application raises is raised to the test, unless
    *raise_app_exceptions* is false: then the status is 500. *options* are those of httpx; its time-outs
    hold.

    Raises:
        LifespanError: on entering or leaving, the application's startup or shutdown failed.
        TypeError: *app* is neither a Flask object nor can it be called.
    """

    def __init__(
        self,
        app: AsgiApplication | Flask,
        *,
        base_url: str = "http://testserver",
        raise_app_exceptions: bool = True,
        **options: Any,
    ) -> None:
        if not callable(app):
            raise TypeError(f"expected a Flask object or an ASGI application, got {app!r}")
        application = FlaskToAsgi(app) if isinstance(app, Flask) else app
        self._tasks = Tasks(application)
        self._lifespan = LifespanRunner(application)
        #: The transport of the requests.
        self.transport = AsgiTransport(self._tasks, raise_app_exceptions=raise_app_exceptions)
        super().__init__(transport=self.transport, base_url=base_url, **options)

    async def __aenter__(self) -> Self:
        await self._lifespan.start()
        self._tasks.state = self._lifespan.state
        return await super().__aenter__()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await super().__aexit__(exc_type, exc_value, traceback)
        await self._tasks.wait()
        await self._lifespan.stop()

    @asynccontextmanager
    async def websocket(
        self, url: str, *, subprotocols: Iterable[str] = (), headers: Any = None
    ) -> AsyncIterator[AsyncWebSocketSession]:
        """Open a WebSocket; it is closed at the end of the block.

        The cookies and headers of the client go with the handshake.

        Raises:
            WebSocketDenied: the application has answered the handshake otherwise.
        """
        request = self.build_request("GET", url, headers=headers)
        connection = await self.connect(request, subprotocols)
        try:
            yield connection
        finally:
            await connection.leave()

    async def connect(
        self, request: httpx.Request, subprotocols: Iterable[str] = ()
    ) -> AsyncWebSocketSession:
        """Return the WebSocket that *request* opens, which the caller closes.

        Raises:
            WebSocketDenied: the application has answered the handshake otherwise.
        """
        connection = AsyncWebSocketSession(request, list(subprotocols), self._tasks)
        await connection.open()
        return connection
