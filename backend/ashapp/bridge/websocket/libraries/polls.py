# SPDX-License-Identifier: MIT
"""How many Socket.IO clients poll at the moment.

A client without a WebSocket asks for events by one GET after the other. Each GET waits for an event, or for
the next ping after 25 s. Meanwhile it holds a thread of requests, unless ``adopt_socketio`` has been called.
Polls are counted inside Engine.IO, so other requests do not pay for it.
"""

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

from flask import Flask

from ashapp.bridge.loop_or_thread.hindrances import around
from ashapp.bridge.messages.attributes import attribute_of
from ashapp.bridge.messages.types import Environ

__all__ = ["Polls", "count_polls"]


class Polls:
    """Counts the polls that are open. From any thread."""

    def __init__(self) -> None:
        #: Polls that wait for events.
        self.open = 0
        self._lock = threading.Lock()

    def watch(self, engine: Any) -> None:
        """Count the polls of *engine*, an ``engineio.Server``."""
        handle_request = engine.handle_request

        def handle_and_count(environ: Environ, start_response: Any) -> Any:
            if not _is_poll(environ):
                return handle_request(environ, start_response)
            self._add(1)
            try:
                return handle_request(environ, start_response)
            finally:
                self._add(-1)

        engine.handle_request = handle_and_count

    def _add(self, number: int) -> None:
        with self._lock:
            self.open += number


def count_polls(app: Flask) -> Polls:
    """Return the count of the polls of *app*, if it has a Flask-SocketIO or a ``socketio.WSGIApp`` by now."""
    polls = Polls()
    for engine in {id(engine): engine for engine in _engines(app)}.values():
        polls.watch(engine)
    return polls


def _engines(app: Flask) -> Iterator[Any]:
    extension = app.extensions.get("socketio")
    for server in (
        attribute_of(extension, "server"),
        *(attribute_of(layer, "engineio_app") for layer in around(app)),
    ):
        engine = attribute_of(server, "eio", server)  # an engineio.Server may be there itself
        if callable(attribute_of(engine, "handle_request")):
            yield engine


def _is_poll(environ: Environ) -> bool:
    query = parse_qs(environ.get("QUERY_STRING", ""))
    is_polling = query.get("transport", ["polling"])[0] == "polling"
    return environ["REQUEST_METHOD"] == "GET" and is_polling and "sid" in query
