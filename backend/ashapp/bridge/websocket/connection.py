# SPDX-License-Identifier: MIT
"""One WebSocket between an application and the server, on the event loop.

Theory of operation. The application may accept the handshake, or deny it with a response (``answer``). A
first message, in either direction, accepts it.

Several tasks may send: their messages go out one after the other. When the peer has gone, ``send`` and
``receive`` raise ``WebSocketClosed``. A server that refuses a message does not say with which code the peer
has gone. That comes by ``receive()``, so ``send`` waits a moment for it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any

from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.headers import encode_response_headers
from ashapp.bridge.messages.types import Message, Receive, Scope, Send
from ashapp.bridge.websocket.incoming import Incoming
from ashapp.bridge.websocket.state import State, WebSocketClosed, check_close

__all__ = ["CONNECTION", "Connection"]

_log = logging.getLogger("ashapp.bridge")

#: The key of the environ that has the connection.
CONNECTION = "ashapp.websocket"

# After this many messages in a row, with none received in between, other tasks have their turn. ``send()`` of
# a server need not wait by itself, and the loop must turn for it to learn that the client has gone.
_SENDS_IN_A_ROW = 16
# Seconds for the server to tell why it has refused a message.
_REASON_DELAY = 0.1

_RESPONSE = "websocket.http.response"


class Connection(Incoming):
    """The WebSocket of *scope*. To be used on *loop*."""

    #: Whether the handshake has been accepted.
    is_accepted = False
    #: The close code for the end of the handler.
    final_code = 1000
    # The waits to send, and whether ``send()`` of the server is being awaited.
    _senders: tuple[asyncio.Future[None], ...] = ()
    _is_sending = False

    def __init__(self, scope: Scope, receive: Receive, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(receive, loop)
        self.scope = scope
        self._send = send

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers."""
        return list(self.scope.get("subprotocols") or ())

    # -- for the application

    async def accept(self, subprotocol: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Accept the handshake; see ``WebSocket.accept``."""
        if subprotocol is not None and subprotocol not in self.subprotocols:
            raise ValueError(f"subprotocol {subprotocol!r}: the client offers {self.subprotocols}")
        fields = encode_response_headers(headers)
        for name, _ in fields:
            if name.startswith(b"sec-websocket-"):
                raise ValueError(f"header {name.decode()} is the server's to send: choose a subprotocol")
        if self.state is State.OPEN:
            raise RuntimeError("the WebSocket has been accepted already, as it is by the first message")
        self._check()
        self.state = State.OPEN
        self.is_accepted = True
        await self._hand_over({"type": "websocket.accept", "subprotocol": subprotocol, "headers": fields})

    def send(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        """Send *message*; see ``WebSocket.send``."""
        if isinstance(message, str):
            event: Message = {"type": "websocket.send", "text": message}
        elif isinstance(message, bytes | bytearray | memoryview):
            event = {"type": "websocket.send", "bytes": bytes(message)}
        else:
            raise TypeError(f"a message is {type(message).__name__}: expected str or bytes")
        self._looks += 1
        # No coroutine around another one: that would cost a tenth of the time for a message.
        return self._hand_over(event) if self.state is State.OPEN else self._send_first(event)

    async def _send_first(self, event: Message) -> None:
        await self._open()
        await self._hand_over(event)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, or deny it; see ``WebSocket.close``."""
        check_close(code, reason)
        if self.ending is None and self.state is not State.DENIED:
            self._is_told = True
            await self._close(code, reason)

    @property
    def has_begun(self) -> bool:
        """Whether the handshake has been answered."""
        return self.state is not State.CONNECTING

    async def leave(self) -> None:
        """Close the WebSocket with 1012, or deny it with 503: the service ends, or restarts."""
        if self.state is State.OPEN:
            await self._close(1012, "")
        elif self.state is State.CONNECTING:
            rejection = busy("it ends, and another one takes its place")
            await send_problem(self.answer, rejection.status, rejection.detail, rejection.headers)
            self._end(1006, "the handshake has been denied")

    async def _close(self, code: int, reason: str) -> None:
        try:
            close = {"type": "websocket.close", "code": code, "reason": reason}
            await self._hand_over(close, by_handler=False)
        except WebSocketClosed:
            _log.debug("a WebSocket was over before it could be closed", exc_info=True)
        self._end(code, reason)

    async def _open(self) -> None:
        if self.state is State.CONNECTING:
            await self.accept()
        else:
            self._check()

    async def _hand_over(self, event: Message, *, by_handler: bool = True) -> None:
        while self._is_sending:
            await self._until_turn()
            self._check(by_handler=by_handler)
        self._is_sending = True
        try:
            self._sends += 1
            if self._sends > _SENDS_IN_A_ROW:
                self._sends = 0
                await asyncio.sleep(0)
            await self._send(event)
        except Exception as error:  # of which kind differs from server to server
            await self._learn_reason()
            self._is_told |= by_handler
            raise WebSocketClosed(*(self.ending or (1006, ""))) from error
        finally:
            self._is_sending = False
            if self._senders:
                senders, self._senders = self._senders, ()
                for waiter in senders:
                    resolve(waiter)

    async def _until_turn(self) -> None:
        """Wait until what is sent now has been sent."""
        waiter = self.loop.create_future()
        self._senders += (waiter,)
        await waiter

    def _check(self, *, by_handler: bool = True) -> None:
        """Raise ``WebSocketClosed`` if the WebSocket is over. The handler knows of the end then."""
        if self.state is State.DENIED:
            raise WebSocketClosed(1006, "the handshake has been denied")
        if self.ending is not None:
            self._is_told |= by_handler
            raise WebSocketClosed(*self.ending)

    # -- for the call of the application

    async def answer(self, message: Message) -> None:
        """Deny the handshake: *message* is a part of an HTTP response. A second response is dropped."""
        takes_response = _RESPONSE in (self.scope.get("extensions") or {})
        if self.state is State.CONNECTING and self.ending is None:
            self.state = State.DENIED
            if not takes_response:
                await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        if self.state is State.DENIED and takes_response:
            await self._send({**message, "type": f"websocket.{message['type']}"})

    async def until_denied(self) -> None:
        """After a denial, wait a moment until the server has ended the connection.

        Without that uvicorn would log that the handshake was not answered. It sends two disconnects: the
        second one comes after the end of the connection.
        """
        if self.state is State.DENIED:
            self.stop()
            with suppress(Exception):
                async with asyncio.timeout(_REASON_DELAY):
                    for _ in range(2):
                        await self.receive_event()

    # -- what comes from the server

    async def _learn_reason(self) -> None:
        try:
            async with asyncio.timeout(_REASON_DELAY):
                while self.ending is None:
                    self._start_pump()
                    await self._change()
        except TimeoutError:
            self._end(1006, "")
