# SPDX-License-Identifier: MIT
"""The stream of a sync source, which a thread iterates."""

import queue
import threading
from collections.abc import Generator, Iterable
from contextvars import copy_context
from types import GeneratorType
from typing import Any, Self

import flask.globals

from ashapp.bridge.admission.departures import Departures
from ashapp.bridge.concurrency.threads.asgiref_locals import carry_locals
from ashapp.bridge.streams.event import END, HEARTBEAT, LEAVE, encode, farewell

__all__ = ["SyncStream"]


class SyncStream:
    """The stream of a sync source: *start*, the events, and a comment after *heartbeat* seconds without."""

    #: There is no handshake.
    has_begun = True
    _is_iterated = False

    def __init__(self, source: Iterable[Any], departures: Departures, start: bytes, heartbeat: float) -> None:
        self._source = source
        self._departures = departures
        self._body = self._iterate(start, heartbeat)
        self._items: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._room = threading.Semaphore(0)
        self._is_over = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        self._is_iterated = True
        return next(self._body)

    def close(self) -> None:
        """End the stream and close its source, even if nobody has iterated, as for HEAD."""
        self._body.close()
        if not self._is_iterated:
            self._close_source()

    def _iterate(self, start: bytes, heartbeat: float) -> Generator[bytes]:
        if self._departures.has_begun:
            self._close_source()
            yield farewell(self._departures.seconds_left)
            return
        # In the context of the view, so that the source sees the request if it is kept for the stream.
        run = copy_context().run
        threading.Thread(target=run, args=(self._produce,), name="ashapp-events", daemon=True).start()
        self._departures.members.add(self)
        try:
            yield start
            while (item := self._next(heartbeat)) is not END:
                if item is LEAVE:
                    yield farewell(self._departures.seconds_left)
                    return
                if isinstance(item, BaseException):
                    raise item
                yield item
                if item is not HEARTBEAT:
                    self._room.release()
        finally:
            self._departures.members.discard(self)
            self._is_over = True
            self._room.release()

    async def leave(self) -> None:
        """End the stream, as the service restarts."""
        self._items.put(LEAVE)

    def _next(self, heartbeat: float) -> Any:
        try:
            return self._items.get(timeout=heartbeat)
        except queue.Empty:
            return HEARTBEAT

    def _produce(self) -> None:
        carry_locals()
        _take_over(self._source)
        try:
            try:
                for item in self._source:
                    self._items.put(encode(item))
                    self._room.acquire()
                    if self._is_over:
                        break
            finally:
                self._close_source()
        except BaseException as error:
            if self._is_over:
                raise  # nobody else hears of it
            self._items.put(error)
        self._items.put(END)

    def _close_source(self) -> None:
        if hasattr(self._source, "close"):
            self._source.close()


def _take_over(source: Any) -> None:
    """Let this thread leave the Flask context that ``stream_with_context`` may hold for *source*.

    Since Flask 3.2 that context is entered in the view, and can be left only where its token was made.
    """
    if type(source) is GeneratorType and source.gi_code in flask.stream_with_context.__code__.co_consts:
        context: Any = flask.globals._cv_app.get(None)  # noqa: SLF001 - see ``patches``
        if getattr(context, "_cv_token", None) is not None:
            context._cv_token = flask.globals._cv_app.set(context)  # noqa: SLF001
