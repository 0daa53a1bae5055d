# SPDX-License-Identifier: MIT
"""WSGI applications that answer as a test says, and bridges that run them in each place."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from ashapp.bridge.messages.types import Environ, StartResponse, WsgiApplication
from ashapp.bridge.request.loop_call import LoopCall
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall
from ashapp.bridge.wsgi import WsgiToAsgi

__all__ = ["PLAIN", "Adapter", "Body", "OnLoop", "answer", "answer_noting", "fail", "length", "mark"]

PLAIN = [("Content-Type", "text/plain")]
mark = ContextVar("mark", default="none")

Adapter = Callable[[WsgiApplication], WsgiToAsgi]


class OnLoop(WsgiToAsgi):
    """Runs any WSGI application on the loop, as ``FlaskToAsgi`` does for async views."""

    def make_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        return LoopCall(self.service, environ, body)


class Body:
    """A body that notes where it is iterated and closed; an exception class for a chunk is raised."""

    def __init__(self, *chunks: Any, on_close: type[BaseException] | None = None) -> None:
        self.closed = 0
        self.places: list[tuple[int, str]] = []
        self._chunks = iter(chunks)
        self._on_close = on_close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._note()
        chunk = next(self._chunks)
        if isinstance(chunk, type):
            raise chunk("oops")
        return chunk  # type: ignore[no-any-return]

    def close(self) -> None:
        self._note()
        self.closed += 1
        if self._on_close is not None:
            raise self._on_close("oops")

    @classmethod
    def of(cls, chunks: Iterable[bytes]) -> "Body":
        return cls(*chunks)

    def _note(self) -> None:
        self.places.append((threading.get_ident(), mark.get()))


def answer(
    chunks: Iterable[bytes],
    headers: list[tuple[str, str]] = PLAIN,
    status: str = "200 OK",
    kind: Callable[[Any], Iterable[bytes]] = list,
) -> WsgiApplication:
    """An application that answers with *chunks*, made into a body by *kind* at each call."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers)
        return kind(chunks)

    return application


def answer_noting(body: Body, headers: list[tuple[str, str]]) -> WsgiApplication:
    """An application that notes where it is called, too, and sets a mark in its context."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        mark.set("request")
        body._note()
        start_response("200 OK", headers)
        return body

    return application


def length(count: int) -> list[tuple[str, str]]:
    return [*PLAIN, ("Content-Length", str(count))]


def fail() -> None:
    raise ValueError("oops")
