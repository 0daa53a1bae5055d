# SPDX-License-Identifier: MIT
"""The body of a response on its way out, from a worker thread to the loop.

Theory of operation. A complete response goes to the loop at once, if there is room for it. Any other goes
through a ``BodyStream``, a bounded queue from the thread that iterates the response to the task that awaits
``send``. While less than the bound is queued, the thread works on while the loop sends. At the bound it waits
until the client has caught up. The thread wakes the loop only if the task sleeps. The task joins small
chunks.

``WriteBehind`` says how much may be queued, for all responses of a worker. While there is memory, a thread is
free as soon as the rest of its response has been queued. Without it, the thread stays until the client has
taken the response, as with a server that has no buffer.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.errors import ClientDisconnected

__all__ = ["HIGH_WATER", "PIECE", "STREAM", "BodyStream", "WriteBehind"]

#: The bound of a stream's queue in bytes, if there is no room for more.
HIGH_WATER = 1 << 18

#: The bound of a stream's queue in bytes while there is room.
STREAM = 1 << 20

#: Bytes of a complete response that are given to the server at once: the server keeps them in memory.
PIECE = 1 << 20

# Bytes of small chunks of a stream that are given to the server at once.
_BATCH = 1 << 16

# Bytes that wait for clients may take 1 / this of the memory that is left.
_PART = 8


class _State(Enum):
    OPEN = auto()
    ENDED = auto()  # the last chunk has been queued
    BROKEN_OFF = auto()  # the producer has failed: what is queued goes out
    ABANDONED = auto()  # nobody wants the rest


class BodyStream:
    """A queue of body chunks, of *bound* bytes, from one thread to one task of *loop*."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: float = HIGH_WATER) -> None:
        self._loop = loop
        self._bound = bound
        self._mutex = threading.Lock()
        self._state = _State.OPEN
        self._chunks: deque[bytes] = deque()
        # Bytes of the chunks that are queued, and of those that the task is about to send.
        self._size = self._being_sent = 0
        self._room: threading.Lock | None = None
        self._waiter: asyncio.Future[None] | None = None

    # -- on the producer's thread

    def put(self, chunk: bytes, *, last: bool = False) -> None:
        """Add *chunk*, which may be the *last*, without a wait for room.

        Raises:
            ClientDisconnected: nobody takes the chunks any more.
        """
        with self._mutex:
            self._check()
            self._chunks.append(chunk)
            self._size += len(chunk)
            if last:
                self._state = _State.ENDED
            self._wake()

    def wait(self) -> None:
        """Wait while too much is queued.

        Raises:
            ClientDisconnected: nobody takes the chunks any more.
        """
        if self._size < self._bound:
            return
        room = threading.Lock()
        with self._mutex:
            if self._size >= self._bound and self._state is not _State.ABANDONED:
                room.acquire()
                self._room = room
        room.acquire()
        self._check()

    def break_off(self) -> None:
        """End it before its last chunk, unless that has been queued. Queued chunks are still sent."""
        with self._mutex:
            if self._state is _State.OPEN:
                self._state = _State.BROKEN_OFF
            self._wake()

    def _check(self) -> None:
        if self._state is _State.ABANDONED:
            raise ClientDisconnected("the client went away while the response was sent")

    # -- on the loop

    def abandon(self) -> None:
        """Stop the producer: the next ``put``, or a ``wait``, raises ``ClientDisconnected``."""
        with self._mutex:
            self._abandon()
            self._wake()

    async def get(self) -> tuple[bytes, bool] | None:
        """Return queued bytes, and whether more follow; None at the end.

        The bytes of the last call have been sent.
        """
        while True:
            with self._mutex:
                self._size -= self._being_sent
                self._being_sent = 0
                if self._size < self._bound / 2:
                    self._make_room()
                if self._chunks:
                    chunk = self._take()
                    return chunk, bool(self._chunks) or self._state is not _State.ENDED
                if self._state is not _State.OPEN:
                    return None
                waiter = self._waiter = self._loop.create_future()
            await waiter

    # -- under the mutex

    def _take(self) -> bytes:
        """Take the next chunk, and with it those after it that are small."""
        chunks = self._chunks
        batch = [chunks.popleft()]
        size = len(batch[0])
        while chunks and size + len(chunks[0]) <= _BATCH:
            size += len(chunks[0])
            batch.append(chunks.popleft())
        self._being_sent = size
        return b"".join(batch)  # of one it makes no copy

    def _abandon(self) -> None:
        self._state = _State.ABANDONED
        self._chunks.clear()
        self._make_room()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.release()
            self._room = None

    def _wake(self) -> None:
        if self._waiter is not None:
            waiter, self._waiter = self._waiter, None
            try:
                self._loop.call_soon_threadsafe(resolve, waiter)
            except RuntimeError:  # the loop has been closed: nobody will take what is queued
                self._abandon()


class WriteBehind:
    """Counts the bytes that wait, of all responses of a worker; *left* tells the bytes of memory left."""

    def __init__(self, left: Callable[[], float]) -> None:
        self._left = left
        self._mutex = threading.Lock()
        #: Bytes that have been taken and not been given back.
        self.held = 0

    def take(self, size: int) -> bool:
        """Take so many bytes, and say whether there is room for them. From any thread."""
        with self._mutex:
            if (self.held + size) * _PART > self._left():
                return False
            self.held += size
            return True

    def give_back(self, size: int) -> None:
        """Give so many bytes back. From any thread."""
        with self._mutex:
            self.held -= size
