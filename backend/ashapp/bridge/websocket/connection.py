# SPDX-License-Identifier: MIT
"""One WebSocket between an application and the server, on the event loop.

Theory of operation. A *pump*, a task, awaits ``receive()`` of the server. That may have only one caller, and
also tells that the peer has gone. The pump starts where somebody wants a message or wants to know of that. It
rests while enough messages wait for the application, and the server then stops reading from the socket.

Who waits for a message, or sends one, when the peer has gone is told by ``WebSocketClosed``. A handler that
does neither for a while is *abandoned*: its call is to be cancelled.

Before the handshake is answered, the application may also answer it by a response (``answer``), which denies
the WebSocket. A first message, in either direction, accepts it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING

from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.headers import encode_response_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ashapp.bridge.messages.types import Message, Receive, Scope, Send

__all__ = ["CONNECTION", "Connection", "State", "WebSocketClosed"]

_log = logging.getLogger("ashapp.bridge")

#: The key of the environ under which the connection is.
CONNECTION = "ashapp.websocket"

# The pump rests while so many bytes, or messages, wait for the application.
_MOST_BYTES = 65536
_MOST_MESSAGES = 16
# Seconds that a handler has to look at the WebSocket, when the peer has gone, before it is cancelled.
_PATIENCE = 1.0
# Seconds to wait for the server to tell why it has refused a message.
_REASON_DELAY = 0.1

_RESPONSE = "websocket.http.response"


class WebSocketClosed(OSError):  # noqa: N818 - an outcome, not a fault
    """The WebSocket is closed: the peer has closed it or has gone, or the application or the server has.

    ``code`` is that of the close frame (RFC 6455, 7.4), 1005 where that had none, and 1006 where there was no
    close frame. ``reason`` is its text, which may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket is closed: {self.code} {self.reason}".rstrip()


class State(Enum):
    """What has become of the handshake."""

    CONNECTING = auto()  # it has not been answered
    DENIED = auto()  # a response answers it
    OPEN = auto()
    CLOSED = auto()


class Connection:
    """The WebSocket of *scope*. All of it is done on *loop*."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.state = State.CONNECTING
        #: The subprotocols that the client has offered.
        self.subprotocols: list[str] = list(scope.get("subprotocols") or ())
        #: The code and the reason of its end, once it is over.
        self.ending: tuple[int, str] | None = None
        #: The greatest size of a message in bytes that is taken; None: any that the server takes.
        self.max_size: int | None = None
        #: The code with which it is closed when its handler has ended.
        self.final_code = 1000
        self._receive = receive
        self._send = send
        self._takes_response = _RESPONSE in (scope.get("extensions") or {})
        self._sending = asyncio.Lock()
        self._messages: deque[str | bytes] = deque()
        self._size = 0
        self._waiters: list[asyncio.Future[None]] = []
        self._room: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        # How often the handler has looked, and whether it knows of the end.
        self._looks = 0
        self._is_told = False

    # -- for the application

    async def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accept the handshake, with one of the *subprotocols* and with more *headers*.

        Raises:
            RuntimeError: it has been accepted.
            ValueError: the client has not offered *subprotocol*, or a header is malformed.
            WebSocketClosed: the WebSocket is over.

        """
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"subprotocol {subprotocol!r}: the client offers {self.subprotocols}")
        fields = encode_response_headers(headers)
        async with self._sending:
            if self.state is State.OPEN:
                raise RuntimeError("the WebSocket has been accepted already, as it is by the first message")
            await self._accept(subprotocol, fields)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketClosed: the WebSocket is over.

        """
        self._looks += 1
        if self.state is State.CONNECTING:
            async with self._sending:
                if self.state is State.CONNECTING:
                    await self._accept()
        while not self._messages:
            self._check()
            await self._change()
        message = self._messages.popleft()
        self._size -= len(message)
        if self._room is not None and not self._is_full():
            resolve(self._room)
        return message

    async def send(self, message: str | bytes) -> None:
        """Send *message* as text or as bytes, and return when the server has room for more.

        Raises:
            TypeError: *message* is neither.
            WebSocketClosed: the WebSocket is over.

        """
        if isinstance(message, str):
            event: Message = {"type": "websocket.send", "text": message}
        elif isinstance(message, bytes | bytearray | memoryview):
            event = {"type": "websocket.send", "bytes": bytes(message)}
        else:
            raise TypeError(f"a message is {type(message).__name__}: expected str or bytes")
        self._looks += 1
        async with self._sending:
            if self.state is State.CONNECTING:
                await self._accept()
            await self._hand_over(event)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, or deny it by 403 if it has not been accepted; do nothing if it is over.

        Raises:
            ValueError: *code* is not for an application to send, or *reason* is too long.

        """
        if not (1000 <= code < 5000) or code in {1004, 1005, 1006, 1015}:
            raise ValueError(f"close code {code}: an application may send 1000 to 4999, but for 1004 to 1006")
        if len(reason.encode()) > 123:
            raise ValueError(f"the reason {reason[:20]!r}… is too long: 123 bytes may be sent")
        async with self._sending:
            if self.ending is None:
                self._end(code, reason)
                self._is_told = True
                try:
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                except Exception:
                    _log.debug("the server refused to close a WebSocket", exc_info=True)

    async def _accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        self._check()
        self.state = State.OPEN
        await self._hand_over(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers)}
        )

    async def _hand_over(self, event: Message) -> None:
        self._check()
        try:
            await self._send(event)
        except Exception as error:  # of which kind differs from server to server
            await self._learn_reason()
            self._is_told = True
            raise WebSocketClosed(*(self.ending or (1006, ""))) from error

    def _check(self) -> None:
        """Raise ``WebSocketClosed`` if the WebSocket is over."""
        if self.state is State.DENIED:
            raise WebSocketClosed(1006, "the handshake has been denied")
        if self.ending is not None:
            self._is_told = True
            raise WebSocketClosed(*self.ending)

    # -- for the call of the application

    async def answer(self, message: Message) -> None:
        """Deny the handshake by a response, of which *message* is a part; later ones are dropped."""
        kind = message["type"]
        if self.state is State.CONNECTING and self.ending is None:
            self.state = State.DENIED
            if not self._takes_response:
                self._end(1006, "")
                await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        elif self.state is not State.DENIED:
            return
        if self._takes_response:
            await self._send({**message, "type": f"websocket.{kind}"})

    async def until_abandoned(self) -> None:
        """Return when the peer has gone and the application does not look at the WebSocket any more."""
        while self.ending is None:
            await self._change()
        while not self._is_told:
            looks = self._looks
            await asyncio.sleep(_PATIENCE)
            if looks == self._looks and not self._is_told:
                return
        await self.loop.create_future()

    def stop(self) -> None:
        """Receive no more."""
        if self._pump is not None:
            self._pump.cancel()

    # -- the pump

    async def _learn_reason(self) -> None:
        try:
            async with asyncio.timeout(_REASON_DELAY):
                while self.ending is None:
                    await self._change()
        except TimeoutError:
            self._end(1006, "")

    async def _change(self) -> None:
        """Wait for a message, or for the end."""
        if self._pump is None:
            self._pump = self.loop.create_task(self._receive_all())
        waiter = self.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def _receive_all(self) -> None:
        try:
            while self.ending is None:
                self._take(await self._receive())
                if self._is_too_long():
                    await self.close(1009, f"a message may have {self.max_size} bytes")
                if self._is_full():
                    self._room = self.loop.create_future()
                    await self._room
                    self._room = None
        except Exception:
            _log.exception("receive() failed; taken for the end of the WebSocket")
            self._end(1006, "")

    def _is_too_long(self) -> bool:
        """Say whether the message that has come last is, and drop it then."""
        if self.max_size is None or not self._messages:
            return False
        message = self._messages[-1]
        # A character has 1 to 4 bytes in UTF-8.
        if len(message) * 4 <= self.max_size:
            return False
        size = len(message.encode()) if isinstance(message, str) else len(message)
        if size > self.max_size:
            self._messages.pop()
            return True
        return False

    def _is_full(self) -> bool:
        return self._size >= _MOST_BYTES or len(self._messages) >= _MOST_MESSAGES

    def _take(self, event: Message) -> None:
        if event["type"] == "websocket.disconnect":
            self._end(event.get("code") or 1005, event.get("reason") or "")
        elif event["type"] == "websocket.receive":
            text = event.get("text")
            message: str | bytes = event["bytes"] if text is None else text
            self._messages.append(message)
            self._size += len(message)
            self._wake()

    def _end(self, code: int, reason: str) -> None:
        if self.ending is None:
            self.ending = code, reason
            if self.state is not State.DENIED:
                self.state = State.CLOSED
            self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            resolve(waiter)
