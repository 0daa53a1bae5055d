# SPDX-License-Identifier: MIT
"""The objects that handlers get: `WebSocket` for an ``async def``, `BlockingWebSocket` for a sync one."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Self, TypeVar

import flask
from werkzeug.exceptions import BadRequest

from ashapp.bridge.concurrency.async_to_sync import run_on_loop
from ashapp.bridge.concurrency.greenlets.current import current_call
from ashapp.bridge.websocket.connection import Connection
from ashapp.bridge.websocket.state import WebSocketClosed

__all__ = ["BlockingWebSocket", "WebSocket"]

T = TypeVar("T")


class WebSocket:
    """A WebSocket, for an ``async def`` handler.

    Several tasks may send and receive at once, on any event loop: messages do not interleave. ``async for``
    gives the messages until the WebSocket is closed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _here(self) -> "Connection | _Hop":
        """Return the connection for code on its loop, and a ``_Hop`` to it for code elsewhere."""
        connection = self._connection
        is_here = asyncio._get_running_loop() is connection.loop  # noqa: SLF001 - the one that does not raise
        return connection if is_here else _Hop(connection)

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers."""
        return self._connection.subprotocols

    def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Coroutine[Any, Any, None]:
        """Accept the handshake, with one of the ``subprotocols`` and with more *headers*.

        Without this call, the first message in either direction accepts it.

        Raises:
            RuntimeError: it has been accepted.
            ValueError: the client has not offered *subprotocol*, or a header is malformed.
            WebSocketClosed: the WebSocket is over.
        """
        return self._here().accept(subprotocol, headers)

    def receive(self) -> Coroutine[Any, Any, str | bytes]:
        """Return the next message: text as ``str``, binary as ``bytes``.

        Raises:
            WebSocketClosed: the WebSocket is over, and all messages that came before have been received.
        """
        return self._here().receive()

    async def receive_json(self) -> Any:
        """Return the next message, which is JSON.

        Raises:
            BadRequest: it is not. Unless that is caught, the WebSocket is closed with 1008.
            WebSocketClosed: the WebSocket is over.
        """
        return _parse(await self.receive())

    def send(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        """Send *message* as text or as binary, and return when there is room for more.

        Raises:
            TypeError: *message* is neither ``str`` nor bytes.
            WebSocketClosed: the WebSocket is over.
        """
        return self._here().send(message)

    def send_json(self, value: Any) -> Coroutine[Any, Any, None]:
        """Send *value* as JSON, made as the application makes it (``Flask.json``); see ``send``."""
        return self.send(flask.json.dumps(value))

    def close(self, code: int = 1000, reason: str = "") -> Coroutine[Any, Any, None]:
        """Close the WebSocket, or deny it with 403 if it has not been accepted; do nothing if it is over.

        *code* may be 1000 to 1003, 1007 to 1014 or 3000 to 4999 (RFC 6455, 7.4), *reason* 123 bytes of UTF-8.

        Raises:
            ValueError: *code* or *reason* is something else.
        """
        return self._here().close(code, reason)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self._here().receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None


class _Hop:
    """Runs coroutines of *connection* on its loop, whichever loop awaits them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return partial(self._run, getattr(self._connection, name))

    async def _run(self, function: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        loop = self._connection.loop
        if asyncio.get_running_loop() is loop:
            return await function(*args)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(function(*args), loop))


class BlockingWebSocket:
    """A WebSocket, for a sync handler. Several threads may use it at once, but not the event loop.

    Iteration gives the messages until the WebSocket is closed.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers."""
        return self._connection.subprotocols

    def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accept the handshake; see ``WebSocket.accept``."""
        self._run(self._connection.accept(subprotocol, headers))

    def receive(self) -> str | bytes:
        """Wait for the next message and return it; see ``WebSocket.receive``."""
        return self._run(self._connection.receive())

    def receive_json(self) -> Any:
        """Wait for the next message, which is JSON, and return it; see ``WebSocket.receive_json``."""
        return _parse(self.receive())

    def send(self, message: str | bytes) -> None:
        """Send *message*, and return when there is room for more; see ``WebSocket.send``."""
        self._run(self._connection.send(message))

    def send_json(self, value: Any) -> None:
        """Send *value* as JSON; see ``WebSocket.send_json``."""
        self.send(flask.json.dumps(value))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket; see ``WebSocket.close``."""
        self._run(self._connection.close(code, reason))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        try:
            return self.receive()
        except WebSocketClosed:
            raise StopIteration from None

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        loop = self._connection.loop
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the one that does not raise
            coroutine.close()
            raise RuntimeError(
                "a WebSocket of a sync handler would block the event loop, which is to serve it: "
                "use it on a thread, as with asyncio.to_thread"
            )
        return run_on_loop(coroutine, loop, current_call())


def _parse(message: str | bytes) -> Any:
    try:
        return flask.json.loads(message)
    except ValueError as error:
        raise BadRequest(f"A message is not JSON: {error}.") from error
