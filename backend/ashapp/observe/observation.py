# SPDX-License-Identifier: MIT
"""`Observation`: the facts about one request while it is served. ``current`` is that of the running code.

Theory of operation. `Observer` makes an `Observation` for each request. The observer and the bridge fill it,
and at its end the sinks read it: the access log, metrics, traces. It is also the object in the scope that the
bridge binds in the request's own context.

``X-Request-ID`` has no standard. The id of a client or a proxy is taken over if it is short and has only
characters that are harmless in a header, a log line and a search. ``traceparent`` is W3C Trace Context, level
2: the trace goes on with a span of ours. Without a ``traceparent`` a trace begins here. Without a request id,
the id of the trace is the request id too.
"""

import os
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Protocol

__all__ = ["INFO", "METHODS", "ManySink", "Message", "Observation", "Scope", "Sink", "current", "identify"]

#: ASGI connection scope, event message and callable.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
_Send = Callable[[Message], Awaitable[None]]

#: Called with each observation at its end. If it has a method ``begin``, that is called at the beginning.
Sink = Callable[["Observation"], object]


class ManySink(Protocol):
    """A sink that takes note of many observations at once, which takes half the time."""

    @property
    def put(self) -> Sink:
        """Put an observation aside at its end. Costs next to nothing, and never fails."""

    def flush(self) -> None:
        """Handle all that have been put aside, once or twice in some milliseconds. On the loop."""


#: The key of the scope under which the bridge looks for the observation.
INFO = "ashapp.notes"

#: The methods that OpenTelemetry's conventions for HTTP know.
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})

#: The observation of the request that the running code belongs to, on the loop and on its threads.
current: ContextVar["Observation | None"] = ContextVar("ashapp_observation", default=None)

_NAMES = frozenset({b"x-request-id", b"traceparent"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,128}")
# Hexadecimal digits of 16 bytes and of 8. Random bytes for this many requests are read at once.
_COUNT = 64
_ids: list[tuple[str, str]] = []
os.register_at_fork(after_in_child=_ids.clear)
# Version 00 ends after the flags; a later one may go on (W3C Trace Context, "Versioning of traceparent").
_TRACEPARENT = re.compile(
    rb"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|(?!00|ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)"
)


def identify(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str, str]:
    """Return the request id, the trace id and the id of our span, for a request with these *headers*.

    The last of several request ids counts: the nearest proxy has added it. Several ``traceparent`` are
    ignored, as the right one is unknown.
    """
    try:
        trace_id, span_id = _ids.pop()
    except IndexError:
        trace_id, span_id = _make_ids()
    for name, _ in headers:
        if name in _NAMES:
            return _take_over(headers, trace_id, span_id)
    return trace_id, trace_id, span_id


def _take_over(headers: Sequence[tuple[bytes, bytes]], trace_id: str, span_id: str) -> tuple[str, str, str]:
    parents = [value for name, value in headers if name == b"traceparent"]
    if len(parents) == 1 and (match := _TRACEPARENT.fullmatch(parents[0])):
        trace_id = (match[1] or match[2]).decode("ascii")
    given = dict(headers).get(b"x-request-id", b"")
    request_id = given.decode("ascii") if _REQUEST_ID.fullmatch(given) else trace_id
    return request_id, trace_id, span_id


def _make_ids() -> tuple[str, str]:
    """Return the ids of a trace and of a span. All zeros, which are invalid, are too improbable to occur."""
    traces, spans = (os.urandom(size * _COUNT).hex(" ", size).split() for size in (16, 8))
    made = [*zip(traces, spans, strict=True)]
    _ids.extend(made[1:])
    return made[0]


class Observation:
    """One HTTP request with this connection *scope*, from its head to its end.

    It ends when the last message of its response is handed to the server, or else when the application has
    returned, raised or been cancelled. So a client that has read the whole response finds it logged and
    counted. *send* is the server's, and *finish* is called at the end.
    """

    #: The tracer's span, which has given ``trace_id`` and ``span_id``, and a function that binds it in the
    #: current context.
    span: Any
    bind_span: Callable[[], object] | None
    #: The status of the response; None if none was begun and the client has gone.
    status: int | None = None
    #: Bytes of the response's body.
    sent: int
    #: "loop" or "thread", and the seconds that were spent waiting for a thread; by the bridge. None: the
    #: request was answered before it got there.
    place: str | None = None
    queued: float = 0.0
    #: The matched rule of Flask, such as ``/users/<int:id>``, and its endpoint; None for no match.
    route: str | None = None
    endpoint: str | None = None
    #: Whether the response has no body on purpose, in spite of its Content-Length; by the bridge.
    handed_over: bool = False
    #: Whether the client has gone before the response was complete.
    disconnected: bool
    #: Whether the server has cancelled it at its end.
    cut: bool
    #: What the application raised, if the response had not ended by then.
    error: BaseException | None
    #: The name of that type, once it has ended: the error itself lives no longer than the request.
    failure: str | None
    ended: bool
    #: `time.perf_counter` at the end, and seconds since the beginning.
    ended_at: float = 0.0
    duration: float = 0.0
    #: Further fields of the access log, if it is no plain request.
    details: dict[str, int | None] | None

    def __init__(self, scope: Scope, send: _Send, finish: Callable[["Observation"], None]) -> None:
        #: The connection scope, which layers inside may have changed: the client behind a proxy.
        self.scope = scope
        self._send = send
        self._finish = finish
        # Read for each request, and set for few. A default of the class would take CPython ten times as long
        # to find.
        self.span = self.bind_span = self.error = self.failure = self.details = None
        self.disconnected = self.cut = self.ended = False
        self.sent = 0
        #: `time.perf_counter` at the beginning.
        self.started = perf_counter()
        #: 1 to 128 printable ASCII characters, 32 and 16 hex digits.
        self.request_id, self.trace_id, self.span_id = identify(scope["headers"])

    @property
    def query(self) -> str:
        """The query string, as it has come; empty if there is none."""
        query: bytes = self.scope.get("query_string", b"")
        return query.decode("latin-1")

    def bind(self) -> None:
        """Make this the ``current`` observation: the bridge calls it in the context of the request."""
        current.set(self)
        if self.bind_span is not None:
            self.bind_span()

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a *message* of the application on to the server, and take note of it.

        The response gets the header ``X-Request-ID``, unless the application has set one.
        """
        return self._send(self.note(message))

    def note(self, message: Message) -> Message:
        """Record a *message* of the application, and return the message to send."""
        kind = message["type"]
        if kind == "http.response.body":
            self.note_body(len(message.get("body", b"")), more=message.get("more_body", False))
        elif kind == "http.response.start":
            message = self._answered(message, message["status"])
        return message

    def _answered(self, message: Message, status: int) -> Message:
        # A new message: an application may send the same one time and again.
        headers = [*message.get("headers", ())]
        self.note_head(status, headers)
        return {**message, "headers": headers}

    def note_head(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Note the *status* of the response, and add ``X-Request-ID`` to its *headers* if they have none."""
        self.status = status
        for name, _ in headers:
            if name == b"x-request-id":
                return
        headers.append((b"x-request-id", self.request_id.encode("ascii")))

    def note_body(self, size: int, *, more: bool) -> None:
        """Note that *size* bytes of the body are handed to the server, and whether there are *more*."""
        self.sent += size
        if not (more or self.ended):
            self.end()

    def conclude(self) -> None:
        """Note that the application has returned: if the request has not ended, its client has gone."""
        if not self.ended:
            self.disconnected = True
            self.end()

    def release(self) -> None:
        """Drop the references that lead back here: cycles would wait for the garbage collector."""
        self.scope.pop(INFO, None)
        self.error = None

    def end(self) -> None:
        """Note that the request has ended, and tell the sinks."""
        self.ended = True
        self.ended_at = perf_counter()
        self.duration = self.ended_at - self.started
        if self.error is not None:
            self.failure = type(self.error).__name__
        # uvicorn drops what is sent to a client that has gone, where ASGI 2.4 has an OSError.
        if not self.cut and getattr(getattr(self._send, "__self__", None), "disconnected", False):
            self.disconnected = True
        self._finish(self)
