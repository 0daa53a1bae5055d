# SPDX-License-Identifier: MIT
"""The client for tests that are not async.

Theory of operation: a client has a thread with a loop. The lifespan and every request of the application run
on that loop. The test's own thread waits for each answer.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from flask import Flask

from ashapp.bridge.messages.types import AsgiApplication
from ashapp.bridge.websocket.state import WebSocketClosed
from ashapp.testing.client import AsyncClient
from ashapp.testing.websocket import AsyncWebSocketSession

__all__ = ["Client", "WebSocketSession"]

T = TypeVar("T")


class _LoopThread:
    """A thread that runs an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="ashapp-testing", daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the result of *coroutine*, which runs on the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.get_loop().run_forever()


class Client(httpx.Client):
    """``AsyncClient`` for tests that are not async: an ``httpx.Client`` whose requests go to *app*.

    The application runs on a thread with a loop of its own, from ``with`` to the end of the block. The
    options are those of ``AsyncClient``.
    """

    def __init__(
        self,
        app: AsgiApplication | Flask,
        *,
        base_url: str = "http://testserver",
        raise_app_exceptions: bool = True,
        **options: Any,
    ) -> None:
        self._threads: list[_LoopThread] = []
        self._client = AsyncClient(app, base_url=base_url, raise_app_exceptions=raise_app_exceptions)
        super().__init__(transport=_BlockingTransport(self._call, self._client), base_url=base_url, **options)

    def __enter__(self) -> Self:
        self._threads.append(_LoopThread())
        try:
            self._call(self._client.__aenter__())
        except BaseException:
            self._threads.pop().stop()
            raise
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        super().__exit__(exc_type, exc_value, traceback)
        try:
            self._call(self._client.__aexit__(exc_type, exc_value, traceback))
        finally:
            self._threads.pop().stop()

    @contextmanager
    def websocket(
        self, url: str, *, subprotocols: Iterable[str] = (), headers: Any = None
    ) -> Iterator["WebSocketSession"]:
        """Open a WebSocket as ``AsyncClient.websocket`` does."""
        request = self.build_request("GET", url, headers=headers)
        connection = self._call(self._client.connect(request, subprotocols))
        try:
            yield WebSocketSession(connection, self._call)
        finally:
            self._call(connection.leave())

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._threads:
            coroutine.close()
            raise RuntimeError("the application does not run yet: use the client within 'with'")
        return self._threads[-1].call(coroutine)


class WebSocketSession:
    """``AsyncWebSocketSession`` for tests that are not async. Iterating gives messages until it is closed."""

    def __init__(
        self, connection: AsyncWebSocketSession, call: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._connection = connection
        self._call = call

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the application has chosen."""
        return self._connection.subprotocol

    @property
    def headers(self) -> httpx.Headers:
        """The headers that the application has sent with its acceptance."""
        return self._connection.headers

    def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketClosed: the application has closed the WebSocket.
        """
        message: str | bytes = self._call(self._connection.receive())
        return message

    def receive_json(self) -> Any:
        """Return the value of the next message, which is JSON."""
        return self._call(self._connection.receive_json())

    def send(self, data: str | bytes) -> None:
        """Send a message.

        Raises:
            WebSocketClosed: the WebSocket is known to be closed.
        """
        self._call(self._connection.send(data))

    def send_json(self, value: Any) -> None:
        """Send *value* as JSON."""
        self._call(self._connection.send_json(value))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, and wait until the application's call has ended."""
        self._call(self._connection.close(code, reason))

    def __iter__(self) -> Iterator[str | bytes]:
        try:
            while True:
                yield self.receive()
        except WebSocketClosed:
            return


class _BlockingTransport(httpx.BaseTransport):
    def __init__(self, call: Callable[[Coroutine[Any, Any, Any]], Any], client: AsyncClient) -> None:
        self._call = call
        self._transport = client.transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = _AsyncBody(request.stream)
        forwarded = httpx.Request(
            request.method,
            request.url,
            headers=request.headers.raw,
            stream=body,
            extensions=request.extensions,
        )
        response = self._call(self._transport.handle_async_request(forwarded))
        return httpx.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=_BlockingBody(self._call, response.stream),
        )


class _AsyncBody(httpx.AsyncByteStream):
    """The body of a request whose chunks may block: they are made on threads."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self._stream)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk


class _BlockingBody(httpx.SyncByteStream):
    def __init__(
        self, call: Callable[[Coroutine[Any, Any, Any]], Any], stream: httpx.AsyncByteStream
    ) -> None:
        self._call = call
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        chunks = aiter(self._stream)
        while (chunk := self._call(_next(chunks))) is not None:
            yield chunk

    def close(self) -> None:
        self._call(self._stream.aclose())


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
