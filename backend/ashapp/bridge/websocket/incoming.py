# SPDX-License-Identifier: MIT
"""Receives the messages of a WebSocket's client, and its end, on the event loop.

Theory of operation. ``receive()`` of the server may have only one caller at a time. It brings the messages,
and the news that the peer has gone. In most cases the handler's ``receive`` awaits it directly. A task, the
*pump*, awaits it instead and keeps the messages in three cases: the handler has not received for a while;
several tasks wait; or the server would lose a message when the wait is cancelled, as by ``asyncio.timeout``.
The pump ends with a message that somebody waits for. It pauses while enough messages are kept; the server
then stops reading from the socket.

When the peer has gone, and the handler neither receives nor sends for a while, the handler is *abandoned*:
its call is cancelled (``watch``).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from types import BuiltinMethodType

from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.types import Message, Receive
from ashapp.bridge.websocket.state import State

__all__ = ["Incoming"]

_log = logging.getLogger("ashapp.bridge")

# The pump pauses while this many bytes wait for the application. With a smaller bound the news that the peer
# has gone would wait behind messages.
_MOST_BYTES = 1 << 18
# Of a character in UTF-8.
_LONGEST_CHARACTER = 4
# Memory that a message takes besides its bytes. It bounds the number of short messages.
_MESSAGE_COST = 64
# Seconds without a ``receive`` of the handler, after which the pump starts. Also the seconds that the handler
# then has, once the peer has gone, to receive or send; after that it is cancelled.
_PATIENCE = 0.5


class Incoming:
    """The receiving half of a WebSocket: *receive* is the server's. To be used on *loop*."""

    # Defaults of the class: nearly every idle WebSocket keeps them.
    #: The code and the reason of its end, once it is over.
    ending: tuple[int, str] | None = None
    #: The greatest size of a message in bytes that is taken; None: any that the server takes.
    max_size: int | None = None
    # The messages that the handler has not taken yet, and their bytes.
    _messages: deque[str | bytes] | None = None
    _size = 0
    # The waits for a message or the end.
    _waiters: tuple[asyncio.Future[None], ...] = ()
    _pump: asyncio.Task[None] | None = None
    _room: asyncio.Future[None] | None = None
    # Whether ``receive()`` of the server is being awaited.
    _is_receiving = False
    # How many messages have been sent since the last one was received.
    _sends = 0
    # What is called when the handler is abandoned, and the timer that looks for that.
    _on_abandoned: Callable[[], None] | None = None
    _watch_timer: asyncio.TimerHandle | None = None
    # How often the handler has used the WebSocket: so far, and at the last look of the timer. Whether it
    # knows of the end.
    _looks = 0
    _looks_before = 0
    _is_told = False

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.state = State.CONNECTING
        self.receive_event = receive
        # As granian's does: it is no coroutine of Python's, and its wait goes on after a cancellation.
        self._loses_messages = type(receive) is BuiltinMethodType
        # ``receive()`` belongs to the server, also where a handler is the first to need the pump.
        self._server_context = copy_context()

    async def close(self, code: int, reason: str) -> None:
        """Close the WebSocket."""
        raise NotImplementedError

    async def _open(self) -> None:
        """Accept the handshake, if it has not been answered.

        Raises:
            WebSocketClosed: the WebSocket is over.
        """
        raise NotImplementedError

    # -- for the application

    async def receive(self) -> str | bytes:
        """Return the next message; see ``WebSocket.receive``."""
        self._looks += 1
        self._sends = 0
        if self.state is State.CONNECTING:
            await self._open()
        if self._is_receiving or self._messages or self.state is not State.OPEN or self._loses_messages:
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

    # -- for the call of the application

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
        """Check whether the handler has used the WebSocket since the last check."""
        self._watch_timer = None
        if self._on_abandoned is None or self._is_told:
            return
        is_idle, self._looks_before = self._looks == self._looks_before, self._looks
        if self.ending is not None and is_idle:
            self._on_abandoned()
            return
        if self._is_receiving and self._pump is None:
            return  # ``receive`` goes on to look
        # Also for a handler that only sends: not every server refuses messages to a peer that has gone.
        self._start_pump()
        if self._pump is None or self.ending is not None:
            self._look_later()

    def _look_later(self) -> None:
        if self._on_abandoned is not None and self._watch_timer is None:
            self._watch_timer = self.loop.call_later(_PATIENCE, self._look)

    # -- what comes from the server

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
        """Keep the message of *event*; say whether somebody waits for it."""
        is_awaited = bool(self._waiters)
        if event["type"] == "websocket.disconnect":
            self._end(event.get("code") or 1005, event.get("reason") or "")
        elif event["type"] == "websocket.receive":
            text = event.get("text")
            message: str | bytes = event["bytes"] if text is None else text
            if self.max_size is not None and _is_too_long(message, self.max_size):
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
    """Log what ``receive()`` of the server has raised, and return a disconnect in its place."""
    _log.exception("receive() failed; taken for the end of the WebSocket")
    return {"type": "websocket.disconnect", "code": 1006}


def _is_too_long(message: str | bytes, max_size: int) -> bool:
    """Say whether *message* has more than *max_size* bytes; text is counted in UTF-8."""
    if len(message) * _LONGEST_CHARACTER <= max_size:
        return False
    return len(message.encode() if isinstance(message, str) else message) > max_size
