# SPDX-License-Identifier: MIT
"""What is known of one HTTP request while it is served, and ``current``, by which its code finds that.

An `Observation` is made by the `Observer` for each request, filled by it and by the bridge, and read at its
end by the sinks: the access log, metrics. It is also the object in the scope under ``ashapp.notes``, which
the bridge binds in the request's own context.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Protocol

from ashapp.observe.identifiers import identify

__all__ = ["NOTES", "Message", "Observation", "Scope", "Sink", "Span", "current"]

#: ASGI connection scope, event message and callable.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
_Send = Callable[[Message], Awaitable[None]]

#: The key of the scope under which the bridge looks for the observation.
NOTES = "ashapp.notes"

#: The observation of the request that the running code belongs to, on the loop and on its threads.
current: ContextVar["Observation | None"] = ContextVar("ashapp_observation", default=None)


class Sink(Protocol):
    """What is called with each observation at its end. It must be quick, and may not raise.

    It may also have a method ``begin`` which is called likewise at the beginning.
    """

    def __call__(self, observation: "Observation", /) -> None:
        """Note that the request has ended."""


class Span(Protocol):
    """The span of a request in a trace, if there is tracing."""

    def bind(self) -> object:
        """Make the span the parent of what is started in the current context from now on."""


class Observation:
    """One HTTP request, from its head to its end.

    The request ends when the last message of its response is handed to the server, or else when the
    application has returned, raised or been cancelled. Whoever has read a whole response therefore finds it
    logged and counted.
    """

    __slots__ = (
        "_finish",
        "_send",
        "disconnected",
        "duration",
        "ended",
        "endpoint",
        "error",
        "handed_over",
        "place",
        "queued",
        "request_id",
        "route",
        "scope",
        "sent",
        "span",
        "span_id",
        "started",
        "status",
        "trace_id",
    )

    def __init__(self, scope: Scope, send: _Send, finish: Callable[["Observation"], None]) -> None:
        self._send = send
        self._finish = finish
        #: The connection scope, which layers inside may have changed: the client behind a proxy.
        self.scope = scope
        #: `time.perf_counter` at the beginning.
        self.started = perf_counter()
        #: 1 to 128 printable ASCII characters, 32 and 16 hex digits.
        self.request_id, self.trace_id, self.span_id = identify(scope["headers"])
        #: Of a tracer's own; it then has given ``trace_id`` and ``span_id``.
        self.span: Span | None = None
        #: The status of the response; None if none was begun and the client has gone.
        self.status: int | None = None
        #: Bytes of the response's body.
        self.sent = 0
        #: "loop" or "thread", and the seconds that were spent waiting for a thread; by the bridge. None: the
        #: request was answered before it got there.
        self.place: str | None = None
        self.queued = 0.0
        #: The matched rule of Flask, such as ``/users/<int:id>``, and its endpoint; None for no match.
        self.route: str | None = None
        self.endpoint: str | None = None
        #: Whether the response has no body on purpose, in spite of its Content-Length; by the bridge.
        self.handed_over = False
        #: Whether the client has gone before the response was complete.
        self.disconnected = False
        #: What the application raised, if the response had not ended by then.
        self.error: BaseException | None = None
        self.ended = False
        #: Seconds, once it has ended.
        self.duration = 0.0

    def bind(self) -> None:
        """Make this the ``current`` observation: the bridge calls it in the context of the request."""
        current.set(self)
        if self.span is not None:
            self.span.bind()

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a *message* of the application on to the server, and take note of it.

        The response gets the header ``X-Request-ID``, unless the application has set one.
        """
        kind = message["type"]
        if kind == "http.response.body":
            body = message.get("body")
            if body:
                self.sent += len(body)
            if not message.get("more_body") and not self.ended:
                self.end()
        elif kind == "http.response.start":
            self.status = message["status"]
            message = self._with_request_id(message)
        return self._send(message)

    def end(self) -> None:
        """Note that the request has ended, and tell the sinks."""
        self.ended = True
        self.duration = perf_counter() - self.started
        # uvicorn drops what is sent to a client that has gone, where ASGI 2.4 has an OSError.
        if getattr(getattr(self._send, "__self__", None), "disconnected", False):
            self.disconnected = True
        self._finish(self)

    def _with_request_id(self, message: Message) -> Message:
        headers = message.get("headers", ())
        for name, _ in headers:
            if name == b"x-request-id":
                return message
        # A new message: an application may send the same one time and again.
        return {**message, "headers": [*headers, (b"x-request-id", self.request_id.encode("ascii"))]}
