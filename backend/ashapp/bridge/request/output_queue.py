# SPDX-License-Identifier: MIT
"""The body of a streamed response, on its way from a worker thread to the loop.

A bounded queue with one producer (the thread that iterates the application's response) and one
consumer (the task that awaits ``send``). ``put`` returns at once while less than a bound of bytes
are waiting, so that the producer works while the loop sends; past that it blocks until the consumer
has caught up, however slow the client is. The thread crosses to the loop only where the consumer is
asleep. ``abandon`` makes the next ``put``, or the one that blocks, raise ``ClientDisconnected``.
"""

import asyncio
import threading
from collections import deque

from ashapp.bridge.concurrency.futures import resolve
from ashapp.bridge.messages.errors import ClientDisconnected

__all__ = ["HIGH_WATER", "BodyStream"]

HIGH_WATER = 1 << 18


class BodyStream:
    """A queue of body chunks, of *bound* bytes, from one thread to one task of *loop*."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bound: float = HIGH_WATER) -> None:
        self._bound = bound
        self.error: Exception | None = None
        self._loop = loop
        self._mutex = threading.Lock()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._abandoned = False
        self._room: threading.Lock | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, chunk: bytes, *, last: bool = False) -> None:
        """Add *chunk*, and wait while too much is queued, unless it is the *last*. On the producer's thread.

        Raises:
            ClientDisconnected: nobody takes the chunks any more.

        """
        room = None
        with self._mutex:
            self.check()
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._ended = last
            if self._size >= self._bound and not last:
                room = self._room = threading.Lock()
                room.acquire()
            self._wake()
        if room is not None:
            room.acquire()
            self.check()

    def check(self) -> None:
        """Raise ``ClientDisconnected`` if nobody takes the chunks any more. On the producer's thread."""
        if self._abandoned:
            raise ClientDisconnected("the client went away while the response was sent")

    def fail(self, error: Exception) -> None:
        """Break the body off: the chunks that are queued still go out. On the producer's thread."""
        with self._mutex:
            self._ended, self.error = True, error
            self._wake()

    def abandon(self) -> None:
        """Stop the producer: nobody wants the rest. On the loop."""
        with self._mutex:
            self._abandoned = True
            self._chunks.clear()
            self._make_room()
            self._wake()

    async def get(self) -> tuple[bytes, bool] | None:
        """Return the next chunk and whether more follow; None where the body is broken off. On the loop."""
        while True:
            with self._mutex:
                if self._chunks:
                    chunk = self._chunks.popleft()
                    self._size -= len(chunk)
                    if self._size < self._bound // 2:
                        self._make_room()
                    return chunk, bool(self._chunks) or not self._ended or self.error is not None
                if self._abandoned or self.error is not None:
                    return None
                if self._ended:
                    return b"", False
                waiter = self._waiter = self._loop.create_future()
            await waiter

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
                self._abandoned = True
                self._make_room()
