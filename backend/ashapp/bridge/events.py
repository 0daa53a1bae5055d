# SPDX-License-Identifier: MIT
"""Server-sent events (HTML Living Standard, 9.2) as the response of a Flask view.

Theory of operation. An async source is iterated by a task, a sync one by a thread. Both belong to one
response. What they produce waits until the client has taken what came before. The body of the
response takes it from there. Where nothing has come for a while it sends a comment, so that proxies and
clients see that the connection lives.

When the service drains, each stream ends at its own time (see ``Departures``), and tells its client by
``retry`` when to come back. A browser does that by itself, with the id of the last event that it has seen. A
stream that begins while the service drains ends at once in the same way. A status of 503 would make a browser
give up.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import random
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import flask

from ashapp.bridge.admission.departures import DEPARTURES, Departures
from ashapp.bridge.concurrency.futures import resolve, without_exit
from ashapp.bridge.request.async_bodies import within_context

__all__ = ["Event", "EventSource", "sse"]

#: What gives events: an iterable, or a callable that gets the client's ``Last-Event-ID`` and returns one.
EventSource = Iterable[Any] | AsyncIterable[Any] | Callable[[str | None], Iterable[Any] | AsyncIterable[Any]]

_HEARTBEAT = b":\n\n"
_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

# The source has no more; the stream has to leave.
_END = object()
_LEAVE = object()


@dataclass(frozen=True, slots=True)
class Event:
    """One event. *data* is text, or something that is sent as JSON; None for no data.

    *event* is its type, "message" where it is None. *id* is what a client that comes back gives as
    ``Last-Event-ID``. *retry* is how many seconds it waits before it comes back.

    Raises:
        ValueError: *event* or *id* has a line break, or *id* a null character, or *retry* is negative.

    """

    data: Any = None
    event: str | None = None
    id: str | None = None
    retry: float | None = None

    def __post_init__(self) -> None:
        for name, text in (("event", self.event), ("id", self.id)):
            if text is not None and not {"\r", "\n", "\0"}.isdisjoint(text):
                raise ValueError(f"{name} = {text!r}: a line break or a null character can't be sent in it")
        if self.retry is not None and self.retry < 0:
            raise ValueError(f"retry = {self.retry!r}: expected seconds, 0 or more")

    def encode(self) -> bytes:
        """Return the event as it is sent.

        Raises:
            TypeError: the data can't be made JSON.

        """
        lines = [
            f"{name}: {text}" for name, text in (("event", self.event), ("id", self.id)) if text is not None
        ]
        if self.retry is not None:
            lines.append(f"retry: {round(self.retry * 1000)}")
        if self.data is not None:
            text = self.data if isinstance(self.data, str) else flask.json.dumps(self.data)
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            lines += [f"data: {line}" for line in text.split("\n")]
        return ("\n".join(lines) + "\n\n").encode()


def sse(source: EventSource, *, retry: float | None = None, heartbeat: float = 15.0) -> flask.Response:
    """Return the response that sends what *source* gives, each as an event; to be called in a view.

    A text is the data of an event, an ``Event`` is one, and anything else is sent as JSON. An async *source*
    in an async view holds no thread. A sync one holds two. Either may be in ``flask.stream_with_context``.
    *retry* is how many seconds a client waits before it comes back. After each *heartbeat* seconds without an
    event a comment is sent. The source is closed when it ends, when the client has gone, and when the service
    drains. A callable gets None where the client has seen no event with an id.

    Raises:
        TypeError: *source* is neither an iterable nor a callable.
        ValueError: *heartbeat* is not above 0, or *retry* is negative.

    """
    if heartbeat <= 0:
        raise ValueError(f"heartbeat = {heartbeat!r}: expected seconds, above 0")
    start = Event(retry=retry).encode() if retry is not None else _HEARTBEAT
    if callable(source) and within_context(source) is None:
        last = flask.request.headers.get("Last-Event-ID")
        source = source(last and last.encode("latin-1").decode("utf-8", "replace"))
    departures = flask.request.environ.get(DEPARTURES) or Departures()
    body: Any
    if (wrapped := within_context(source)) is not None:
        stream: Any = _AsyncStream(wrapped, departures).body(start, heartbeat)
        body = flask.stream_with_context(stream)
    elif isinstance(source, AsyncIterable):
        body = _AsyncStream(source, departures).body(start, heartbeat)
    elif isinstance(source, Iterable):
        body = _SyncStream(source, departures).body(start, heartbeat)
    else:
        raise TypeError(f"expected an iterable, an async iterable or a callable, got {source!r}")
    return flask.current_app.response_class(body, mimetype="text/event-stream", headers=_HEADERS)


def _encode(item: Any) -> bytes:
    return (item if isinstance(item, Event) else Event(item)).encode()


def _farewell(departures: Departures) -> bytes:
    """Return what tells a client to come back within the time that the service takes to drain."""
    return Event(retry=random.uniform(1.0, max(departures.seconds_left, 1.0))).encode()  # noqa: S311 - no secret


class _AsyncStream:
    """The stream of an async source, which a task iterates."""

    def __init__(self, source: AsyncIterable[Any], departures: Departures) -> None:
        self._source = source
        self._departures = departures
        self._items: deque[Any] = deque()
        # What waits for an item, and for room for one.
        self._taker: asyncio.Future[None] | None = None
        self._maker: asyncio.Future[None] | None = None

    async def body(self, start: bytes, heartbeat: float) -> AsyncIterator[bytes]:
        """Yield *start*, then the events, and a comment after *heartbeat* seconds without one."""
        if self._departures.has_begun:
            yield _farewell(self._departures)
            return
        self._loop = asyncio.get_running_loop()
        producer = self._loop.create_task(without_exit(self._produce()))
        self._departures.members.add(self)
        self._last_time = self._loop.time()
        self._beat(heartbeat)
        try:
            yield start
            while (item := await self._take()) is not _END:
                if item is _LEAVE:
                    yield _farewell(self._departures)
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
            self._loop.call_soon_threadsafe(self._give, _LEAVE)

    def _beat(self, heartbeat: float) -> None:
        """Send a comment if nothing has come for *heartbeat* seconds, and look again in time."""
        if self._loop.time() - self._last_time >= heartbeat:
            self._give(_HEARTBEAT)
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
                self._give(_encode(item))
        finally:
            self._give(_END)
            if hasattr(self._source, "aclose"):
                await self._source.aclose()


class _SyncStream:
    """The stream of a sync source, which a thread iterates."""

    def __init__(self, source: Iterable[Any], departures: Departures) -> None:
        self._source = source
        self._departures = departures
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Semaphore(0)
        self._is_over = False

    def body(self, start: bytes, heartbeat: float) -> Iterator[bytes]:
        """Yield *start*, then the events, and a comment after *heartbeat* seconds without one."""
        if self._departures.has_begun:
            yield _farewell(self._departures)
            return
        # In the context of the view, so that the source sees the request where it is kept for the stream.
        run = copy_context().run
        threading.Thread(target=run, args=(self._produce,), name="ashapp-events", daemon=True).start()
        self._departures.members.add(self)
        try:
            yield start
            while (item := self._next(heartbeat)) is not _END:
                if item is _LEAVE:
                    yield _farewell(self._departures)
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
                if item is not _HEARTBEAT:
                    self._room.release()
        finally:
            self._departures.members.discard(self)
            self._is_over = True
            self._room.release()

    async def leave(self) -> None:
        """End the stream, as the service restarts."""
        self._items.put(_LEAVE)

    def _next(self, heartbeat: float) -> Any:
        try:
            return self._items.get(timeout=heartbeat)
        except queue.Empty:
            return _HEARTBEAT

    def _produce(self) -> None:
        try:
            for item in self._source:
                self._items.put(_encode(item))
                self._room.acquire()
                if self._is_over:
                    break
        except BaseException as error:
            self._items.put(error)
        finally:
            if hasattr(self._source, "close"):
                self._source.close()
            self._items.put(_END)
