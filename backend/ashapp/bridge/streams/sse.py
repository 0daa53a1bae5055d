# SPDX-License-Identifier: MIT
"""Server-sent events (HTML Living Standard, 9.2) as the response of a Flask view.

Theory of operation. A task iterates an async source, a thread a sync one. Each response has a task or thread
of its own. An event waits until the client has taken the one before; the body of the response takes it then.
If there is no event for a while, the body sends a comment, so that proxies and clients see that the
connection lives.

When the service drains, the streams end one by one (see ``Departures``). Each tells its client by ``retry``
when to come back. A browser comes back by itself, with the id of the last event that it has seen. A stream
that begins during the drain ends at once in the same way, as a status of 503 would make a browser give up.
"""

import threading
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import flask

from ashapp.bridge.admission.departures import DEPARTURES, Departures
from ashapp.bridge.request.async_bodies import within_context
from ashapp.bridge.streams.async_stream import AsyncStream
from ashapp.bridge.streams.event import HEARTBEAT, Event
from ashapp.bridge.streams.sync_stream import SyncStream

__all__ = ["EventSource", "sse"]

#: Gives events: an iterable, or a callable that gets the client's ``Last-Event-ID`` and returns an iterable.
EventSource = Iterable[Any] | AsyncIterable[Any] | Callable[[str | None], Iterable[Any] | AsyncIterable[Any]]

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


def sse(source: EventSource, *, retry: float | None = None, heartbeat: float = 15.0) -> flask.Response:
    """Return a response that sends each item of *source* as an event; to be called in a view.

    An item is an ``Event``, a text as its data, or any other value, which is sent as JSON. An async *source*
    in an async view holds no thread; a sync one holds two. Either may be in ``flask.stream_with_context`` (a
    sync one since Flask 3.1.2). *retry* is how many seconds a client waits before it comes back. After each
    *heartbeat* seconds without an event a comment is sent (``math.inf``: none). The source is closed when it
    ends, when the client has gone, and when the service drains. If the client has seen no event with an id, a
    callable gets None.

    Raises:
        TypeError: *source* is neither an iterable nor a callable.
        ValueError: *heartbeat* is not above 0, or *retry* is negative or infinite.
    """
    if not heartbeat > 0:
        raise ValueError(f"heartbeat = {heartbeat!r}: expected seconds, above 0")
    heartbeat = min(heartbeat, threading.TIMEOUT_MAX)
    start = Event(retry=retry).encode() if retry is not None else HEARTBEAT
    if callable(source) and within_context(source) is None:
        last = flask.request.headers.get("Last-Event-ID")
        source = source(last and last.encode("latin-1").decode("utf-8", "replace"))
    departures = flask.request.environ.get(DEPARTURES) or Departures()
    body: Any
    if (wrapped := within_context(source)) is not None:
        stream: Any = AsyncStream(wrapped, departures, start, heartbeat)
        body = flask.stream_with_context(stream)
    elif isinstance(source, AsyncIterable):
        body = AsyncStream(source, departures, start, heartbeat)
    elif isinstance(source, Iterable):
        body = SyncStream(source, departures, start, heartbeat)
    else:
        raise TypeError(f"expected an iterable, an async iterable or a callable, got {source!r}")
    return flask.current_app.response_class(body, mimetype="text/event-stream", headers=_HEADERS)
