# SPDX-License-Identifier: MIT
"""One WebSocket between an application and the server, on the event loop.

Theory of operation. ``receive()`` of the server may have only one caller, and also tells that the peer has
gone. In most cases it is awaited by who wants a message (``receive``), with nothing in between. Where the
application has not looked for a while, or several wait, a *pump*, a task, awaits it instead, and keeps what
comes. It ends with a message that somebody waits for. It rests while enough messages wait; the server then
stops reading from the socket.

Who waits for a message, or sends one, when the peer has gone is told by ``WebSocketClosed``. A handler that
does neither for a while is *abandoned*: its call is to be cancelled (``watch``).

Before the handshake is answered, the application may also answer it by a response (``answer``), which denies
the WebSocket. A first message, in either direction, accepts it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from contextvars import copy_context
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.headers import encode_response_headers
from ashapp.bridge.websocket.limits import check_close, is_too_long

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from ashapp.bridge.messages.types import Message, Receive, Scope, Send

__all__ = ["CONNECTION", "Connection", "State", "WebSocketClosed"]

_log = logging.getLogger("ashapp.bridge")

#: The key of the environ under which the connection is.
CONNECTION = "ashapp.websocket"

# The pump rests while so many bytes wait for the application: that the peer has gone is seen behind them.
_MOST_BYTES = 1 << 18
# Memory of a message besides its bytes: it bounds the number of those that are short.
_MESSAGE_COST = 64
# Seconds that a handler may not look at the WebSocket until the pump does; and, when that has found that the
# peer has gone, until the handler is cancelled.
_PATIENCE = 0.5
# Messages that are sent, with none received in between, until other tasks have their turn. A server need not
# wait: for a client that reads as fast, or for one that has gone, which it learns by a turn of the loop.
_SENDS_IN_A_ROW = 16
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

    # Defaults of the class: they hold for nearly every one that is idle.
    #: The code and the reason of its end, once it is over.
    ending: tuple[int, str] | None = None
    #: The greatest size of a message in bytes that is taken; None: any that the server takes.
    max_size: int | None = None
    #: The code with which it is closed when its handler has ended.
    final_code = 1000
    # What has come and is not taken yet, and its bytes.
    _messages: deque[str | bytes] | None = None
    _size = 0
    # Who waits for a message or the end, and who waits to send.
    _waiters: tuple[asyncio.Future[None], ...] = ()
    _senders: tuple[asyncio.Future[None], ...] = ()
    _pump: asyncio.Task[None] | None = None
    _room: asyncio.Future[None] | None = None
    # Whether ``receive()``, and ``send()``, of the server is being awaited.
    _is_receiving = False
    _is_sending = False
    # How many messages have been sent in a row.
    _sends = 0
    # Who is told when the handler is abandoned, and what looks whether it is.
    _on_abandoned: Callable[[], None] | None = None
    _watch_timer: asyncio.TimerHandle | None = None
    # How often the handler has looked, by now and at the last look of the timer; whether it knows of the end.
    _looks = 0
    _looks_before = 0
    _is_told = False

    def __init__(self, scope: Scope, receive: Receive, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.state = State.CONNECTING
        self.scope = scope
        self.receive_event = receive
        self._send = send
        # ``receive()`` belongs to the server, also where a handler is the first to need the pump.
        self._server_context = copy_context()

    @property
    def subprotocols(self) -> list[str]:
        """The subprotocols that the client offers."""
        return list(self.scope.get("subprotocols") or ())

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
        if self.state is State.OPEN:
            raise RuntimeError("the WebSocket has been accepted already, as it is by the first message")
        self._check()
        self.state = State.OPEN
        await self._hand_over({"type": "websocket.accept", "subprotocol": subprotocol, "headers": fields})

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketClosed: the WebSocket is over.

        """
        self._looks += 1
        self._sends = 0
        if self.state is State.CONNECTING:
            await self.accept()
        if self._is_receiving or self._messages or self.state is not State.OPEN:
            return await self._take_message()
        self._is_receiving = True
        try:
            event = await self.receive_event()
        except Exception:
            event = _failed()
        finally:
            self._is_receiving = False
            if self._watch_timer is None:
                self._look_later()
            if self._waiters:
                self._wake()
        if event["type"] == "websocket.receive" and self.max_size is None:
            text: str | None = event.get("text")
            return event["bytes"] if text is None else text
        await self._keep(event)
        return await self._take_message()

    def send(self, message: str | bytes) -> Coroutine[Any, Any, None]:
        """Send *message* as text or as bytes; it is done when the server has room for more.

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
        # Not a coroutine around another one: that would cost a tenth of what is done for a message here.
        return self._hand_over(event) if self.state is State.OPEN else self._send_first(event)

    async def _send_first(self, event: Message) -> None:
        await self._open()
        await self._hand_over(event)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, or deny it by 403 if it has not been accepted; do nothing if it is over.

        Raises:
            ValueError: *code* is not for an application to send, or *reason* is too long.

        """
        check_close(code, reason)
        if self.ending is None and self.state is not State.DENIED:
            self._is_told = True
            await self._close(code, reason)

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
        """Accept the handshake, if it has not been answered.

        Raises:
            WebSocketClosed: the WebSocket is over.

        """
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
            self._end_turn()

    async def _until_turn(self) -> None:
        """Wait until what is sent now has been sent."""
        waiter = self.loop.create_future()
        self._senders += (waiter,)
        await waiter

    def _end_turn(self) -> None:
        self._is_sending = False
        if self._senders:
            senders, self._senders = self._senders, ()
            for waiter in senders:
                resolve(waiter)

    def _check(self, *, by_handler: bool = True) -> None:
        """Raise ``WebSocketClosed`` if the WebSocket is over, which tells the handler if it asks."""
        if self.state is State.DENIED:
            raise WebSocketClosed(1006, "the handshake has been denied")
        if self.ending is not None:
            self._is_told |= by_handler
            raise WebSocketClosed(*self.ending)

    # -- for the call of the application

    async def answer(self, message: Message) -> None:
        """Deny the handshake by a response, of which *message* is a part; later ones are dropped."""
        takes_response = _RESPONSE in (self.scope.get("extensions") or {})
        if self.state is State.CONNECTING and self.ending is None:
            self.state = State.DENIED
            if not takes_response:
                await self._send({"type": "websocket.close", "code": 1000, "reason": ""})
        if self.state is State.DENIED and takes_response:
            await self._send({**message, "type": f"websocket.{message['type']}"})

    async def until_denied(self) -> None:
        """Wait, for a moment, until the server has ended the connection, if the handshake has been denied.

        uvicorn would log that it has not been answered. It tells twice of the end, the second time behind it.
        """
        if self.state is State.DENIED:
            self.stop()
            with suppress(Exception):
                async with asyncio.timeout(_REASON_DELAY):
                    for _ in range(2):
                        await self.receive_event()

    def watch(self, on_abandoned: Callable[[], None]) -> None:
        """Call *on_abandoned* when the peer has gone and the handler does not look at the WebSocket."""
        self._on_abandoned = on_abandoned
        if self.ending is not None or not self._is_receiving:
            self._look()

    def stop(self) -> None:
        """Receive no more, and watch no more."""
        self._on_abandoned = None
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._pump is not None:
            self._pump.cancel()

    def _look(self) -> None:
        """Look whether the handler has looked at the WebSocket since the last time."""
        self._watch_timer = None
        if self._on_abandoned is None or self._is_told:
            return
        is_idle, self._looks_before = self._looks == self._looks_before, self._looks
        if self.ending is not None and is_idle:
            self._on_abandoned()
            return
        if self._is_receiving and self._pump is None:
            return  # ``receive`` goes on to look
        if is_idle:
            self._start_pump()
        if self._pump is None or self.ending is not None:
            self._look_later()

    def _look_later(self) -> None:
        if self._on_abandoned is not None and self._watch_timer is None:
            self._watch_timer = self.loop.call_later(_PATIENCE, self._look)

    # -- what comes from the server

    async def _learn_reason(self) -> None:
        try:
            async with asyncio.timeout(_REASON_DELAY):
                while self.ending is None:
                    self._start_pump()
                    await self._change()
        except TimeoutError:
            self._end(1006, "")

    async def _take_message(self) -> str | bytes:
        while not self._messages:
            await self._open()
            self._start_pump()
            await self._change()
        message = self._messages.popleft()
        self._size -= len(message) + _MESSAGE_COST
        if self._room is not None and not self._is_full():
            resolve(self._room)
        return message

    async def _change(self) -> None:
        """Wait until a message, or the end, has come, or nobody receives."""
        waiter = self.loop.create_future()
        self._waiters += (waiter,)
        await waiter

    def _start_pump(self) -> None:
        if not self._is_receiving and self.ending is None:
            self._is_receiving = True
            self._pump = self.loop.create_task(self._receive_ahead(), context=self._server_context)

    async def _receive_ahead(self) -> None:
        try:
            while self.ending is None:
                try:
                    event = await self.receive_event()
                except Exception:
                    event = _failed()
                is_awaited = await self._keep(event)
                if is_awaited:
                    break
                if self._is_full():
                    self._room = self.loop.create_future()
                    await self._room
                    self._room = None
        finally:
            self._pump = None
            self._is_receiving = False
            self._look_later()

    def _is_full(self) -> bool:
        return self._size >= _MOST_BYTES

    async def _keep(self, event: Message) -> bool:
        """Keep what *event* brings; say whether somebody waits for it."""
        is_awaited = bool(self._waiters)
        if event["type"] == "websocket.disconnect":
            self._end(event.get("code") or 1005, event.get("reason") or "")
        elif event["type"] == "websocket.receive":
            text = event.get("text")
            message: str | bytes = event["bytes"] if text is None else text
            if self.max_size is not None and is_too_long(message, self.max_size):
                await self.close(1009, f"a message may have {self.max_size} bytes")
            else:
                if self._messages is None:
                    self._messages = deque()
                self._messages.append(message)
                self._size += len(message) + _MESSAGE_COST
        self._wake()
        return is_awaited

    def _end(self, code: int, reason: str) -> None:
        if self.ending is None:
            self.ending = code, reason
            self.state = State.CLOSED
            self._looks_before = self._looks
            self._look_later()
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, ()
        for waiter in waiters:
            resolve(waiter)


def _failed() -> Message:
    """Log the exception that ``receive()`` of the server has raised, and return what it is taken for."""
    _log.exception("receive() failed; taken for the end of the WebSocket")
    return {"type": "websocket.disconnect", "code": 1006}
