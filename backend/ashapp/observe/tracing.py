# SPDX-License-Identifier: MIT
"""Traces: a span of OpenTelemetry for each request, by its conventions for HTTP servers.

Imported only where tracing is configured: it needs the packages of the extra ``otel``. OpenTelemetry's own
variables set all that can be set. The conventions are those of "Semantic conventions for HTTP spans", stable
since 1.23.

Theory of operation. The span is made in the server's task. The application has a context of its own, in which
the bridge binds the span. So spans of the application, on the loop or on a thread, are its children.
"""

import logging
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from ashapp.observe.exporters import make_exporters
from ashapp.observe.observation import METHODS, Observation

_log = logging.getLogger("ashapp.observe")

__all__ = ["FLUSH_TIMEOUT", "Tracer", "make_tracer", "outcome"]

#: Milliseconds: a part of the time that a service has for its end.
FLUSH_TIMEOUT = 3000

_Headers = Iterable[tuple[bytes, bytes]]


class Tracer:
    """A sink that begins and ends the span of each request; with its query string if *query* is true."""

    def __init__(self, provider: trace.TracerProvider, *, query: bool = False) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("ashapp")
        self._query = query

    def begin(self, observation: Observation) -> None:
        """Begin the span, as a child of the caller's if there is one; it gives the request its trace id."""
        scope = observation.scope
        context = propagate.extract(scope["headers"], Context(), getter=_GETTER)
        method = scope.get("method", "GET")  # that of a WebSocket's handshake
        # The attributes for samplers.
        attributes = {"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]}
        if method not in METHODS:
            attributes |= {"http.request.method": "_OTHER", "http.request.method_original": method}
        if self._query and observation.query:
            attributes["url.query"] = observation.query
        span = self._tracer.start_span(_name(method), context, SpanKind.SERVER, attributes)
        observation.span = span
        observation.bind_span = partial(otel_context.attach, trace.set_span_in_context(span, context))
        ids = span.get_span_context()
        if ids.is_valid:
            trace_id = trace.format_trace_id(ids.trace_id)
            if observation.request_id == observation.trace_id:
                observation.request_id = trace_id
            observation.trace_id = trace_id
            observation.span_id = trace.format_span_id(ids.span_id)

    def __call__(self, observation: Observation) -> None:
        """End the span."""
        span = observation.span
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(outcome(observation))
            if observation.route is not None:
                span.update_name(f"{_name(observation.scope.get('method', 'GET'))} {observation.route}")
            error, status = observation.error, observation.status
            if error is not None:
                span.record_exception(error)
            if error is not None or (status is not None and status >= 500):
                span.set_attribute("error.type", str(status) if error is None else type(error).__qualname__)
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def flush(self) -> None:
        """Send the recorded spans, if that is possible. Blocks; also done at the interpreter's exit."""
        if isinstance(self._provider, TracerProvider):
            try:
                self._provider.force_flush(FLUSH_TIMEOUT)
            except Exception:
                _log.exception("The last traces can't be sent")


def make_tracer(environ: Mapping[str, str], *, query: bool) -> Tracer:
    """Return what makes spans by the provider that the application has set, else by one of the variables.

    Raises:
        ValueError: ``OTEL_TRACES_EXPORTER`` or the protocol names what is not there.
    """
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider):
        exporters = make_exporters("TRACES", environ)
        provider = TracerProvider()
        for exporter in exporters:
            provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
    return Tracer(provider, query=query)


class _HeaderGetter(Getter[_Headers]):
    """Reads the headers of a scope."""

    def get(self, carrier: _Headers, key: str) -> list[str] | None:
        wanted = key.lower().encode("latin-1")
        return [value.decode("latin-1") for name, value in carrier if name == wanted] or None

    def keys(self, carrier: _Headers) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_GETTER = _HeaderGetter()


def _name(method: str) -> str:
    # Any token is a method, but names of spans must be few.
    return method if method in METHODS else "HTTP"


def outcome(observation: Observation) -> dict[str, Any]:
    """Return the attributes at the end; layers between may have changed the scope, as for a proxy."""
    scope = observation.scope
    headers = dict(scope["headers"])
    client = scope.get("client")
    host, port = _authority(headers.get(b"host", b"").decode("latin-1"), scope.get("server"))
    attributes = {
        "url.scheme": scope["scheme"],
        "http.route": observation.route,
        "http.response.status_code": observation.status,
        "http.response.body.size": observation.sent,
        "network.protocol.version": scope.get("http_version"),
        "client.address": client[0] if client else None,
        "user_agent.original": headers.get(b"user-agent", b"").decode("latin-1"),
        "server.address": host,
        "server.port": port,
        "ashapp.request_id": observation.request_id,
        "ashapp.place": observation.place,
    }
    return {name: value for name, value in attributes.items() if value not in {None, ""}}


def _authority(host: str, server: tuple[str, int | None] | None) -> tuple[str, int | None]:
    name, _, port = host.rpartition(":")
    if name and port.isascii() and port.isdecimal():
        return name, int(port)
    return host, server[1] if server else None
