# SPDX-License-Identifier: MIT
"""The body of a request on its way in: from ASGI's ``receive()`` to the reader.

Theory of operation. Two sides share one queue of chunks under one mutex. On the loop a task, the *pump*,
awaits ``receive()`` and appends chunks. The reader (``InputStream``), on a thread or in a greenlet of the
loop, takes the chunks, and waits while the queue is empty.

The pump starts before the first read if the client sends the body unasked (``Intake``). Otherwise the first
read starts it: servers answer ``Expect: 100-continue`` when ``receive()`` is called, so that must not happen
before the application wants the body. The pump pauses while the queue is full (``take_in``). The server then
stops reading from the socket, which holds the client back. So memory is bounded for uploads of any size, and
nothing is written to disk on the loop. A ``Share`` says how much memory each body gets.

``receive()`` may have only one caller, and it also tells that the client has gone. So the pump also watches
for a disconnect (``watch``), and goes on after the end of the body. If ``receive()`` then returns anything
but a disconnect, it is not called again.

A body that breaks off makes every further read raise ``ClientDisconnected``: it never looks complete.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from functools import partial

from ashapp.bridge.admission.body_budget import PROOF, Share
from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.concurrency.greenlets.waiting import make_wait
from ashapp.bridge.messages.errors import ClientDisconnected
from ashapp.bridge.messages.types import Message, Receive

__all__ = ["HIGH_WATER", "RequestBody"]

_log = logging.getLogger("ashapp.bridge")

#: The pump pauses while this many bytes wait for the reader.
HIGH_WATER = 65536

# While a response is streamed, a disconnect is seen only after all bytes that the client has sent. So up to
# this many bytes of a body that nobody reads are received, to get there.
_WATCH_HIGH_WATER = 1 << 20
# After that one more message is received after this many seconds, which double: a dozen in an hour.
_FIRST_LOOK = 1.0

# Memory of a chunk besides its bytes: it bounds the number of chunks of one byte each.
_CHUNK_COST = 64
# Messages that are taken in before other tasks have their turn, if ``receive()`` never waits.
_MESSAGES_IN_A_ROW = 16


class RequestBody:
    """The body of one request. One reader at a time takes its chunks; all else is done on *loop*."""

    # Defaults of the class: most requests have no body, and then these cost neither time nor memory.
    #: Whether the head of the request says that there is a body. To be set before the first read.
    announced = False
    #: Its length in bytes by the head of the request; None where that does not say.
    length: int | None = None
    #: Whether the client sends it of its own accord, and does not wait for ``100 Continue``.
    unasked = True
    #: Its share of the budget; None if it is not counted.
    share: Share | None = None
    #: Called when more has come, or it has come to its end, or the client has gone.
    on_change: Callable[[], None] | None = None
    #: Bytes that have come, and bytes that the reader has taken.
    arrived = 0
    taken = 0
    _chunks: deque[bytes] | None = None
    _size = 0
    _limit = HIGH_WATER
    _wakes: tuple[Callable[[], object], ...] = ()
    _room: asyncio.Future[None] | None = None
    _next_look: float | None = None
    # One for all bodies: it is held for a moment only, and most bodies are never read.
    _mutex = threading.Lock()

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._receive = receive
        # ``receive()`` is code of the server. Called in the reader's context, it could pass that context on,
        # by callbacks that the server registers with the loop, to the next request on the connection.
        self._server_context = copy_context()
        #: Whether all of it has come, so that no read has to wait.
        self.is_complete = False
        #: Whether the client has gone, or the call has ended.
        self.is_gone = False
        self._pump: asyncio.Task[None] | None = None
        self._on_disconnect: Callable[[], None] | None = None

    @property
    def started(self) -> bool:
        """Whether the body is being taken in, or has been."""
        return self._pump is not None

    @property
    def is_resting(self) -> bool:
        """Whether no more of it is taken in until it is read."""
        return self._size >= self._limit and not (self.is_complete or self.is_gone)

    # -- on the loop

    def start(self) -> None:
        """Begin to take the body in, unless that has begun or the client has gone."""
        if self._pump is None and not self.is_gone:
            self._pump = self.loop.create_task(self._receive_all(), context=self._server_context)

    def take_in(self, size: int) -> None:
        """Receive up to *size* bytes ahead of the reader from now on, or as many as it needs."""
        self._limit = max(HIGH_WATER, size)
        self._resume()

    def watch(self, on_disconnect: Callable[[], None], *, read_ahead: int = _WATCH_HIGH_WATER) -> None:
        """Call *on_disconnect*, in place of an earlier one, as soon as the client has gone.

        *read_ahead* is how many bytes of the body may be taken in to see that. With 0 it is not seen while
        the body rests.
        """
        self._on_disconnect = on_disconnect
        if self.is_gone:
            on_disconnect()
            return
        if read_ahead and self.announced:
            self._next_look = self._next_look or _FIRST_LOOK
            self.take_in(max(self._limit, read_ahead))
        if self._pump is not None and self._pump.done():
            self._pump = None
        self.start()

    def unwatch(self) -> None:
        """Call nothing any more, and receive no more than a reader needs."""
        self.on_change = self._on_disconnect = None
        self.take_in(HIGH_WATER)

    def stop(self) -> None:
        """End the call: a read that still waits, or comes later, raises."""
        self._on_disconnect = None
        if self._pump is not None:
            self._pump.cancel()
        self._note_gone()
        if self.share is not None:
            self.share.end()

    async def _receive_all(self) -> None:
        """Take in the body, and what comes after it as long as somebody watches for a disconnect."""
        count = 0
        try:
            while not self.is_gone and (self._on_disconnect is not None or not self.is_complete):
                if self.is_resting:
                    await self._rest()
                if self.share is not None and not (self.is_complete or self.share.may_grow()):
                    await self.share.wait_for_growth()
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._note_gone()
                elif self.is_complete:
                    return  # there is no more to learn from this server
                else:
                    self._feed(message)
                count += 1
                if count % _MESSAGES_IN_A_ROW == 0:
                    await asyncio.sleep(0)
        except Exception:
            _log.exception("receive() failed; taken for a disconnect")
            self._note_gone()
        finally:
            if not self.is_complete:  # nobody else will wake the reader, should this task have been cancelled
                self._note_gone()

    async def _rest(self) -> None:
        """Wait until there is room; while the client is watched, until it is time for another look."""
        while self.is_resting:
            room = self._room = self.loop.create_future()
            if self._next_look is None:
                await room
                continue
            await asyncio.wait([room], timeout=self._next_look)
            if not room.done():
                self._next_look *= 2
                return

    def _feed(self, message: Message) -> None:
        # Some servers and test clients give a buffer of their own, or None; a read returns bytes.
        chunk = bytes(message.get("body") or b"")
        if self.length is not None:
            chunk = chunk[: self.length - self.arrived]
        with self._mutex:
            if chunk:
                if self._chunks is None:
                    self._chunks = deque()
                self._chunks.append(chunk)
                self._size += len(chunk) + _CHUNK_COST
                self.arrived += len(chunk)
            self.is_complete = self.arrived == self.length or not message.get("more_body", False)
            self._wake_waiting()
        if self.share is not None:
            self.share.add(len(chunk))
        self._tell_change()

    def _note_gone(self) -> None:
        if self.is_gone:
            return
        with self._mutex:
            self.is_gone = True
            self._wake_waiting()
        if self.announced:
            self._tell_change()
        if self._on_disconnect is not None:  # later than a waiting reader: its own read raises
            self.loop.call_soon(self._report_disconnect)

    def _report_disconnect(self) -> None:
        if self._on_disconnect is not None:
            self._on_disconnect()

    def _tell_change(self) -> None:
        if self.share is not None and (self.is_complete or self.is_gone):
            self.share.end_growth()
        if self.on_change is not None:
            self.on_change()

    def _wake_waiting(self) -> None:
        if self._wakes:
            wakes, self._wakes = self._wakes, ()
            for wake in wakes:
                wake()

    def _resume(self) -> None:
        if self._room is not None:
            resolve(self._room)

    # -- for the reader

    def next_chunk(self) -> bytes:
        """Take the next chunk, and wait for it; b"" is the end of the body.

        Raises:
            ClientDisconnected: the body has broken off, or the loop has been closed.
            RuntimeError: to wait here would block the loop.
        """
        while True:
            with self._mutex:
                if self._chunks:
                    was_resting = self.is_resting
                    chunk = self._chunks.popleft()
                    self._size -= len(chunk) + _CHUNK_COST
                    break
                wait = self._prepare_to_wait()
            if wait is None:
                return b""
            if self._pump is None:
                self._call_loop(self.start)
            wait()
        if was_resting and not self.is_resting:
            self._call_loop(self._resume)
        proofs = self.taken // PROOF
        self.taken += len(chunk)
        if self.share is not None and self.taken // PROOF > proofs:
            self._call_loop(partial(self.share.note_given, self.taken))
        return chunk

    def _prepare_to_wait(self) -> Callable[[], object] | None:
        """Return the function that waits for the next chunk; None at the end of the body. Under the mutex."""
        if self.is_complete:
            return None
        if self.is_gone:
            raise ClientDisconnected("the client went away before the request body was complete")
        try:
            return self._add_waiting()
        except RuntimeError:
            if self.announced:
                raise
            return None

    def _add_waiting(self) -> Callable[[], object]:
        """Return the function that waits for a change of the body, or of its reader. Under the mutex."""
        wake, wait = make_wait(self.loop)
        self._wakes += (wake,)
        return wait

    def _call_loop(self, callback: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(callback, context=self._server_context)
        except RuntimeError as error:  # the loop has been closed: no more will come
            raise ClientDisconnected("the server has stopped") from error
