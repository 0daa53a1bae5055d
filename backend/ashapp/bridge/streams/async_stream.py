# SPDX-License-Identifier: MIT
"""The stream of an async source, which a task iterates."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable
from typing import Any, Self

from ashapp.bridge.admission.departures import Departures
from ashapp.bridge.concurrency.futures import resolve, without_exit
from ashapp.bridge.streams.event import END, HEARTBEAT, LEAVE, encode, farewell

__all__ = ["AsyncStream"]


class AsyncStream:
    """The stream of an async source: *start*, the events, and a comment after *heartbeat* seconds without."""

    #: There is no handshake.
    has_begun = True
    _is_iterated = False

    def __init__(
        self, source: AsyncIterable[Any], departures: Departures, start: bytes, heartbeat: float
    ) -> None:
        self._source = source
        self._departures = departures
        self._body = self._iterate(start, heartbeat)
        self._items: deque[Any] = deque()
        # The waits for an item, and for room for one.
        self._taker: asyncio.Future[None] | None = None
        self._maker: asyncio.Future[None] | None = None

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[bytes]:
        self._is_iterated = True
        return self._body.__anext__()

    async def aclose(self) -> None:
        """End the stream and close its source, even if nobody has iterated, as for HEAD."""
        await self._body.aclose()
        if not self._is_iterated:
            await self._close_source()

    async def _iterate(self, start: bytes, heartbeat: float) -> AsyncGenerator[bytes]:
        if self._departures.has_begun:
            await self._close_source()
            yield farewell(self._departures.seconds_left)
            return
        self._loop = asyncio.get_running_loop()
        producer = self._loop.create_task(without_exit(self._produce()))
        self._departures.members.add(self)
        self._last_time = self._loop.time()
        self._beat(heartbeat)
        try:
            yield start
            while (item := await self._take()) is not END:
                if item is LEAVE:
                    yield farewell(self._departures.seconds_left)
                    return
                yield item
            await producer  # and raise what the source has raised
        finally:
            self._timer.cancel()
            self._departures.members.discard(self)
            producer.cancel()
            await asyncio.wait({producer})

    async def leave(self) -> None:
        """End the stream, as the service restarts."""
        with contextlib.suppress(RuntimeError):  # the loop of a view that is kept on a thread may be closed
            self._loop.call_soon_threadsafe(self._give, LEAVE)

    def _beat(self, heartbeat: float) -> None:
        """Send a comment if nothing has come for *heartbeat* seconds, and set the next timer."""
        now = self._loop.time()
        if self._items:  # the client is slow: it has something to take
            self._last_time = now
        elif now - self._last_time >= heartbeat:
            self._give(HEARTBEAT)
        self._timer = self._loop.call_at(self._last_time + heartbeat, self._beat, heartbeat)

    def _give(self, item: Any) -> None:
        self._items.append(item)
        self._last_time = self._loop.time()
        if self._taker is not None:
            resolve(self._taker)

    async def _take(self) -> Any:
        while not self._items:
            self._taker = self._loop.create_future()
            await self._taker
            self._taker = None
        item = self._items.popleft()
        if self._maker is not None:
            resolve(self._maker)
        return item

    async def _produce(self) -> None:
        try:
            async for item in self._source:
                while self._items:  # what came before has not been taken
                    self._maker = self._loop.create_future()
                    await self._maker
                    self._maker = None
                self._give(encode(item))
        finally:
            self._give(END)
            await self._close_source()

    async def _close_source(self) -> None:
        if hasattr(self._source, "aclose"):
            await self._source.aclose()
