# SPDX-License-Identifier: MIT
"""``wsgi.input``: the request body, streamed from the loop to the thread that reads it.

Theory of operation. Two sides share one queue of chunks under one mutex. On the loop a *pump*, a
task, awaits ``receive()`` and appends; on a worker thread the application reads and, where the
queue is empty, waits. The pump starts with the request if the client sends a body of its own
accord, else at the first read: servers answer ``Expect: 100-continue`` when ``receive()`` is called,
so that must not happen before the application wants the body. The pump rests while ``HIGH_WATER``
bytes are waiting; the server then stops reading from the socket, and the client is held back. So
memory is bounded whatever the size of the upload, and nothing is written to disk on the loop.

``receive()`` may have only one caller, and it also tells of a client that has gone. That is why
watching for a disconnect (``watch``) is the pump's work too: it goes on past the end of the body.

``http.disconnect`` before the last chunk makes every further read raise ``ClientDisconnected``: a
truncated upload never looks complete. Past the end of the body nothing but that is expected: where a
``receive()`` has something else to say, as one that says the same for ever, it is asked no more.

A limit on the length of the body (``limit_to``) is checked where the limit is reached, by looking for one
byte more. Werkzeug's own check, in ``LimitedStream``, stops reading there without looking, so that a
chunked body that is too long would seem to be complete.

A coroutine may read as well: it runs in a greenlet, which the read suspends. So does a task that the
application makes while the body is incomplete (see ``tasks``).
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections import deque
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.admission.body_budget import PROOF
from ashapp.bridge.concurrency.futures import resolve, until
from ashapp.bridge.concurrency.greenlets import current_greenlet
from ashapp.bridge.messages.errors import ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

    from ashapp.bridge.admission.body_budget import Share
    from ashapp.bridge.concurrency.greenlet_tasks import StandIn
    from ashapp.bridge.messages.types import Message, Receive
    from ashapp.bridge.request.loop_call import LoopCall
    from ashapp.bridge.request.read_turns import Turns

__all__ = ["HIGH_WATER", "RequestBody"]

_log = logging.getLogger("ashapp.bridge")

HIGH_WATER = 65536

# While a response is streamed, the disconnect can be seen only past what the client has sent: a body
# that the application leaves unread is taken in up to this size to get there. Past it one message more is
# taken in now and then, after a time (seconds) that doubles: a dozen of them in an hour.
_WATCH_HIGH_WATER = 1 << 20
_FIRST_LOOK = 1.0

# What a chunk takes besides its bytes; so chunks of a byte each are bounded in number, too.
_CHUNK_COST = 64
# So many messages are taken in before the loop may see to others, if ``receive()`` never waits.
_TURN = 16


class RequestBody(io.BufferedIOBase):
    """A readable binary file over ASGI's ``receive()`` (PEP 3333, "Input and Error Streams").

    ``read(n)`` waits until there are *n* bytes or the body ends, as of any buffered file;
    ``read1`` and ``readinto1`` return what has arrived. One thread at a time may read.

    Reads raise ``ClientDisconnected`` where the client has gone before the end of the body, and
    ``RequestEntityTooLarge`` (413) where the body is longer than ``limit_to`` allows.
    """

    # What each request has, and then defaults of the class, because most requests have no body: what does
    # not change costs them nothing, neither time nor, while they wait, memory.
    __slots__ = ("_max_length", "_mutex", "_receive", "_server_context", "loop")
    #: Whether the head of the request says that there is a body. To be set before the first read.
    announced = False
    #: Its length in bytes by the head of the request; None where that does not say.
    length: int | None = None
    #: Whether the client sends it of its own accord, and does not wait for ``100 Continue``.
    unasked = True
    #: The part of the memory of all requests that it has; None where it is not counted.
    share: Share | None = None
    #: Those of who wants to read all of it. To be set where there is one.
    turns: Turns
    #: Called once, on the loop, when all of it has come, or no more will.
    on_end: Callable[[], None] | None = None
    # Shared, under the mutex.
    _size = 0
    _complete = False
    _gone = False
    _resting = False
    _arrivals: tuple[Callable[[], None], ...] = ()
    _chunks: deque[bytes] | None = None
    # The loop's.
    _pump: asyncio.Task[None] | None = None
    _room: asyncio.Event | None = None
    _limit = HIGH_WATER
    _on_disconnect: Callable[[], None] | None = None
    _on_arrival: Callable[[], None] | None = None
    _arrived = 0
    _look: asyncio.TimerHandle | None = None
    _look_after = _FIRST_LOOK
    _looks = True
    # The reader's.
    #: How many chunks have been read, or begun to be.
    advances = 0
    _current = b""
    _offset = 0
    _consumed = 0
    _given = 0
    _told = 0

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self._receive = receive
        self.loop = loop
        # ``receive()`` belongs to the server: called in the reader's context it could carry that, by what
        # the server registers with the loop, into the next request on the connection.
        self._server_context = copy_context()
        self._mutex = threading.Lock()
        self._max_length: Callable[[], int | None] | None = None

    def __del__(self) -> None:
        """Skip the ``close()`` of the base class: there is nothing to close."""

    def limit_to(self, max_length: Callable[[], int | None]) -> None:
        """Enforce what *max_length* returns when the body is read: its length in bytes, or None."""
        self._max_length = max_length

    # -- on the loop

    @property
    def started(self) -> bool:
        """Whether the body is being taken in, or has been."""
        return self._pump is not None

    @property
    def complete(self) -> bool:
        """Whether all of the body has arrived, so that no read has to wait."""
        return self._complete

    def start(self) -> None:
        """Begin to take the body in. On the loop; does nothing where that is under way."""
        if self._gone:
            self._mark_gone()
        elif self._pump is None:
            self._pump = self.loop.create_task(self._run_pump(), context=self._server_context)

    @property
    def arrived(self) -> int:
        """Bytes that have come so far."""
        return self._arrived

    @property
    def is_complete(self) -> bool:
        """Whether all of it has come."""
        return self._complete

    @property
    def is_resting(self) -> bool:
        """Whether no more of it is taken in until it is read."""
        return self._resting

    @property
    def is_gone(self) -> bool:
        """Whether the client has gone, or the call has ended."""
        return self._gone

    def read_ahead(self, size: int, on_arrival: Callable[[], None]) -> None:
        """Take in *size* bytes before anybody reads; call *on_arrival* for all that comes. On the loop."""
        self._on_arrival = on_arrival
        self.take_in(size)
        self.start()

    def take_in(self, size: int) -> None:
        """Take in *size* bytes ahead of the reader from now on, but no fewer than it needs. On the loop."""
        self._limit = max(HIGH_WATER, size)
        with self._mutex:
            has_room = self._size < self._limit
            if not has_room and self._room is None and not self._complete:
                self._rest()
            self._resting = self._resting and not has_room
        if has_room:
            self._resume()

    def end_read_ahead(self) -> None:
        """Take in no more than a reader needs from now on, and call nobody. On the loop."""
        self._on_arrival = self._on_disconnect = None
        self.take_in(HIGH_WATER)

    def watch(self, on_disconnect: Callable[[], None], *, read_ahead: int = _WATCH_HIGH_WATER) -> None:
        """Call *on_disconnect*, in place of an earlier one, as soon as the client has gone. On the loop.

        *read_ahead* is how much of the body, in bytes, may be taken in to see that. With 0 it is
        not seen while the body rests.
        """
        self._on_disconnect = on_disconnect
        self._looks = read_ahead > 0
        self._limit = max(self._limit, read_ahead)
        if self._gone:
            on_disconnect()
            return
        if self._pump is not None and self._pump.done():
            self._pump = None
        self.start()
        if read_ahead:
            self._resume()

    def stop(self) -> None:
        """End the call: a read that still waits, or comes later, raises. On the loop."""
        self._gone = True  # told to a reader by `start` where there is no pump yet
        self._end()
        if self.share is not None:
            self.share.end()
        if self._pump is not None:
            self._on_disconnect = None
            if self._look is not None:
                self._look.cancel()
            self._pump.cancel()
            self._mark_gone()

    async def _run_pump(self) -> None:
        turn = 0
        try:
            while not self._gone and not (self._complete and self._on_disconnect is None):
                if self._room is not None:
                    await self._room.wait()
                if self.share is not None and not self._complete and not self.share.may_grow():
                    await self.share.wait_for_growth()
                message = await self._receive()
                if self._complete and message["type"] != "http.disconnect":
                    return  # it has come to its end, and there is no more to learn from this server
                self._feed(message)
                turn += 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
        except Exception:
            _log.exception("receive() failed; taken for a disconnect")
        finally:
            if not self._complete:  # nobody else will wake the reader, should this task have been cancelled
                self._mark_gone()
            if self._gone and self._on_disconnect is not None:
                # A reader that waits is told by its read, before anything is cancelled.
                self.loop.call_soon(self._report_disconnect)

    def _report_disconnect(self) -> None:
        if self._on_disconnect is not None:
            self._on_disconnect()

    def _feed(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._mark_gone()
            return
        # Some servers and test clients say so by a buffer of their own, or None; a read returns bytes.
        chunk = bytes(message.get("body") or b"")
        if self.length is not None:
            chunk = chunk[: self.length - self._arrived]
        with self._mutex:
            if chunk:
                if self._chunks is None:
                    self._chunks = deque()
                self._chunks.append(chunk)
                self._size += len(chunk) + _CHUNK_COST
                self._arrived += len(chunk)
            self._complete = self._arrived == self.length or not message.get("more_body", False)
            if self._size >= self._limit and not self._complete:
                self._rest()
            self._notify()
        if self.share is not None:
            self.share.add(len(chunk))
        if self._complete:
            self._end()
        if self._on_arrival is not None:
            self._on_arrival()

    def _rest(self) -> None:
        """Take in no more until there is room. Under the mutex."""
        self._resting = True
        self._room = asyncio.Event()
        if self._on_disconnect is not None and self._looks:
            self._look = self.loop.call_later(self._look_after, self._resume)
            self._look_after *= 2

    def _mark_gone(self) -> None:
        with self._mutex:
            self._gone = True
            self._notify()
        self._end()
        if self._on_arrival is not None:
            self._on_arrival()

    def _end(self) -> None:
        if self.share is not None:
            self.share.end_growth()
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

    def _notify(self) -> None:
        arrivals, self._arrivals = self._arrivals, ()
        for arrive in arrivals:
            arrive()

    def _resume(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    # -- on the reader's thread

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return *size* bytes, or fewer at the end of the body; without *size*, all of it."""
        left = -1 if size is None or size < 0 else size
        whole = b""
        # Not a list of parts, which would all be there a second time while they are joined.
        buffer: io.BytesIO | None = None
        while left:
            part = self.read1(left)
            if not part:
                break
            if buffer is not None:
                buffer.write(part)
            elif whole:
                buffer = io.BytesIO()
                buffer.write(whole)
                buffer.write(part)
                whole = b""
            else:
                whole = part
            if left > 0:
                left -= len(part)
        return whole if buffer is None else buffer.getvalue()

    def read1(self, size: int = -1, /) -> bytes:
        """Return what has arrived, at most *size* bytes; wait only where nothing has."""
        data = self._take(size)
        if self._max_length is not None:
            self._consumed += len(data)
            max_length = self._max_length()
            excess = -1 if max_length is None else self._consumed - max_length
            if excess > 0 or (excess == 0 and self._has_more()):
                raise RequestEntityTooLarge
        return data

    def _take(self, size: int) -> bytes:
        if size == 0 or not self._has_more():
            return b""
        start, data = self._offset, self._current
        end = len(data) if size < 0 else min(start + size, len(data))
        self._offset = end
        return data if start == 0 and end == len(data) else data[start:end]

    def _has_more(self) -> bool:
        return self._offset < len(self._current) or self._advance()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill *buffer*, or less at the end of the body; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readinto1(self, buffer: WriteableBuffer, /) -> int:
        """Put what has arrived into *buffer*; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read1(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line with its line feed, or its first *size* bytes."""
        left = -1 if size is None or size < 0 else size
        parts = []
        while left and self._has_more():
            newline = self._current.find(b"\n", self._offset) + 1
            available = (newline or len(self._current)) - self._offset
            part = self.read1(available if left < 0 else min(available, left))
            parts.append(part)
            if part.endswith(b"\n"):
                break
            if left > 0:
                left -= len(part)
        return b"".join(parts)

    def _advance(self) -> bool:
        """Make the next chunk the current one, waiting for it; False at the end of the body."""
        self._current, self._offset = self._next_chunk(), 0
        return bool(self._current)

    def _next_chunk(self) -> bytes:
        while True:
            with self._mutex:
                if self._chunks:
                    chunk = self._chunks.popleft()
                    self.advances += 1
                    self._size -= len(chunk) + _CHUNK_COST
                    resume = self._resting and self._size < self._limit
                    self._resting = self._resting and not resume
                    break
                if self._complete:
                    return b""
                if self._gone:
                    raise ClientDisconnected("the client went away before the request body was complete")
                wait = self._make_wait()
            if wait is None:
                return b""
            wait()
        if resume:
            self.call_loop(self._resume)
        if self.share is not None:
            self._given += len(chunk)
            if self._given - self._told >= PROOF:
                self._told = self._given
                self.call_loop(partial(self.share.note_given, self._given))
        return chunk

    def _make_wait(self) -> Callable[[], None] | None:
        """Return a function that waits for what comes next, or None where nothing is to be had."""
        if not self.is_on_loop():
            lock = threading.Lock()
            lock.acquire()
            self._arrivals += (lock.release,)
            return partial(self._block, lock)
        greenlet = current_greenlet()
        if greenlet is not None and greenlet.call is not None:
            arrival = self.loop.create_future()
            self._arrivals += (partial(resolve, arrival),)
            return partial(self._suspend, greenlet.call, arrival)
        if self.announced:
            self.refuse_to_block()
        return None

    def is_on_loop(self) -> bool:
        """Say whether the caller runs on the loop of the request."""
        return asyncio._get_running_loop() is self.loop  # noqa: SLF001 - the one that does not raise

    def refuse_to_block(self) -> NoReturn:
        """Say that to wait here would block the loop.

        Raises:
            RuntimeError: always.

        """
        raise RuntimeError(
            "reading the request body in a callback of the event loop would block it: "
            "read it in the view or in a task, or with asyncio.to_thread"
        )

    def _block(self, arrival: threading.Lock) -> None:
        if self._pump is None:
            self.call_loop(self.start)
        arrival.acquire()

    def _suspend(self, call: LoopCall | StandIn, arrival: asyncio.Future[None]) -> None:
        self.start()
        call.run_coroutine(until(arrival))

    def call_loop(self, callback: Callable[[], None]) -> None:
        """Call *callback* on the loop, in the context of the server. From any thread.

        Raises:
            ClientDisconnected: the loop has been closed.

        """
        try:
            self.loop.call_soon_threadsafe(callback, context=self._server_context)
        except RuntimeError as error:  # the loop has been closed: no more will come
            raise ClientDisconnected("the server has stopped") from error
