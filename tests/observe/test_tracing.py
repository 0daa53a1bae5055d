# SPDX-License-Identifier: MIT
import asyncio
from contextlib import suppress
from typing import Any

import pytest
from flask import Flask
from opentelemetry import baggage, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, Sampler
from opentelemetry.trace import SpanKind, StatusCode

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import AsgiApplication, Receive, Scope, Send
from ashapp.observe.observation import Observation, Sink
from ashapp.observe.observer import Observer
from ashapp.observe.tracing import Tracer
from tests.support.asgi import Client, fetch

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
TRACEPARENT = (b"traceparent", f"00-{TRACE}-{CALLER}-01".encode())


class Traced:
    """An application that is observed and traced, and its spans."""

    def __init__(
        self, app: AsgiApplication, *sinks: Sink, query: bool = False, sampler: Sampler | None = None
    ) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.observations: list[Observation] = []
        tracer = Tracer(self.provider, query=query)
        self.app = Observer(app, [tracer, self.observations.append, *sinks])

    async def fetch(self, *args: Any, **entries: Any) -> Client:
        return await fetch(self.app, *args, **entries)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    assert span.attributes is not None
    return dict(span.attributes)


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": scope.get("wanted", 200), "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


async def test_a_span_follows_the_conventions() -> None:
    traced = Traced(answer)
    headers = [(b"host", b"shop.example:8443"), (b"user-agent", b"curl/8"), TRACEPARENT]
    await traced.fetch("GET", b"/users/7?token=secret", headers=headers, wanted=404)
    (span,) = traced.spans.values()
    (seen,) = traced.observations
    assert (span.name, span.kind) == ("GET", SpanKind.SERVER)
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.response.body.size": 5,
        "url.path": "/users/7",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "192.0.2.1",
        "user_agent.original": "curl/8",
        "server.address": "shop.example",
        "server.port": 8443,
        "ashapp.request_id": seen.request_id,
    }
    assert span.status.status_code is StatusCode.UNSET


def ids(span: ReadableSpan) -> tuple[str, str]:
    assert span.context is not None
    return trace.format_trace_id(span.context.trace_id), trace.format_span_id(span.context.span_id)


async def test_the_trace_of_the_caller_goes_on() -> None:
    traced = Traced(answer)
    client = await traced.fetch(headers=[TRACEPARENT])
    (span,) = traced.spans.values()
    (seen,) = traced.observations
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == CALLER
    assert ids(span) == (seen.trace_id, seen.span_id)
    assert client.headers["x-request-id"] == TRACE == seen.trace_id == seen.request_id


async def test_a_trace_that_begins_here_gives_the_ids() -> None:
    traced = Traced(answer)
    await traced.fetch()
    await traced.fetch(headers=[(b"x-request-id", b"r1")])
    first, second = traced.observations
    traces = [ids(span)[0] for span in traced.exporter.get_finished_spans()]
    assert traces == [first.trace_id, second.trace_id]
    assert (first.request_id, second.request_id) == (first.trace_id, "r1")


async def test_what_is_not_recorded_has_ids() -> None:
    traced = Traced(answer, sampler=ALWAYS_OFF)
    await traced.fetch(headers=[TRACEPARENT])
    assert traced.spans == {}
    assert traced.observations[0].trace_id == TRACE
    seen: list[Observation] = []
    client = await fetch(Observer(answer, [Tracer(trace.NoOpTracerProvider()), seen.append]))
    assert client.headers["x-request-id"] == seen[0].request_id == seen[0].trace_id
    assert int(seen[0].trace_id, 16)


METHOD = "http.request.method"


def server(name: str | None, port: int | None) -> dict[str, Any]:
    return {"server.address": name, "server.port": port}


@pytest.mark.parametrize(
    ("request_line", "host", "address", "query", "expected"),
    [
        ("PATCH /", b"shop", None, False, {METHOD: "PATCH"}),
        ("BREW /", b"shop", None, False, {METHOD: "_OTHER", f"{METHOD}_original": "BREW"}),
        ("GET /", b"shop.example", ("127.0.0.1", 5000), False, server("shop.example", 5000)),
        ("GET /", b"[2001:db8::1]", ("127.0.0.1", 5000), False, server("[2001:db8::1]", 5000)),
        ("GET /", b"[2001:db8::1]:81", ("127.0.0.1", 5000), False, server("[2001:db8::1]", 81)),
        ("GET /", b"shop.example:\xb2", None, False, server("shop.example:\xb2", None)),
        ("GET /", b"", None, False, {**server(None, None), "client.address": None}),
        ("GET /?token=secret", b"shop", None, False, {"url.query": None}),
        ("GET /?token=secret", b"shop", None, True, {"url.query": "token=secret"}),
        ("GET /", b"shop", None, True, {"url.query": None}),
    ],
)
async def test_attributes(
    request_line: str, host: bytes, address: Any, query: object, expected: dict[str, Any]
) -> None:
    traced = Traced(answer, query=bool(query))
    method, target = request_line.split()
    await traced.fetch(method, target.encode(), headers=[(b"host", host)], server=address, client=None)
    ((name, span),) = traced.spans.items()
    assert name == ("HTTP" if method == "BREW" else method)
    found = attributes(span)
    assert {key: found.get(key) for key in expected} == expected


async def fail(scope: Scope, receive: Receive, send: Send) -> None:
    raise LookupError("no such item")


async def leave(scope: Scope, receive: Receive, send: Send) -> None: ...


@pytest.mark.parametrize(
    ("app", "code", "error_type", "status"),
    [
        (answer, StatusCode.ERROR, "503", 503),
        (fail, StatusCode.ERROR, "LookupError", 500),
        (leave, StatusCode.UNSET, None, None),
    ],
)
async def test_what_failed_is_an_error(
    app: AsgiApplication, code: StatusCode, error_type: str | None, status: int | None
) -> None:
    traced = Traced(app)
    with suppress(LookupError):
        await traced.fetch(wanted=503)
    span = traced.spans["GET"]
    assert span.status.status_code is code
    assert attributes(span).get("error.type") == error_type
    assert attributes(span).get("http.response.status_code") == status
    messages = [(event.attributes or {})["exception.message"] for event in span.events]
    assert messages == (["no such item"] if app is fail else [])


async def test_spans_of_loop_and_thread_have_that_of_their_request_for_parent() -> None:
    app = Flask("shop")
    traced = Traced(FlaskToAsgi(app))
    own = trace.get_tracer("shop", tracer_provider=traced.provider)
    together = asyncio.Barrier(2)
    heard: list[object] = []

    @app.before_request
    def before() -> None:
        with own.start_as_current_span("hook"):
            heard.append(baggage.get_baggage("customer"))

    @app.get("/async/<name>")
    async def async_view(name: str) -> str:
        with own.start_as_current_span(f"view {name}"):
            await together.wait()
            with own.start_as_current_span(f"query {name}"):
                await asyncio.sleep(0)
            await asyncio.to_thread(own.start_span(f"thread {name}").end)
        return "done"

    @app.get("/sync")
    def sync_view() -> str:
        with own.start_as_current_span("view sync"):
            return "done"

    async with asyncio.timeout(20):
        await asyncio.gather(
            traced.fetch("GET", b"/async/a", headers=[TRACEPARENT, (b"baggage", b"customer=c1")]),
            traced.fetch("GET", b"/async/b"),
        )
        await traced.fetch("GET", b"/sync")
    assert sorted(heard, key=str) == [None, None, "c1"]
    by_id = {span.context.span_id: span for span in traced.exporter.get_finished_spans() if span.context}

    def line(name: str) -> list[str]:
        """Return the name of the span and of all above it."""
        span, names = traced.spans[name], [name]
        while span.parent is not None and span.parent.span_id in by_id:
            span = by_id[span.parent.span_id]
            names.append(span.name)
        names.append(str(attributes(span).get("url.path")))
        return names

    for name in ("a", "b"):
        top = ["GET /async/<name>", f"/async/{name}"]
        assert line(f"view {name}") == [f"view {name}", *top]
        assert line(f"query {name}") == [f"query {name}", f"view {name}", *top]
        assert line(f"thread {name}") == [f"thread {name}", f"view {name}", *top]
    assert line("view sync") == ["view sync", "GET /sync", "/sync"]
    server_spans = [span for span in by_id.values() if span.kind is SpanKind.SERVER]
    assert sorted(attributes(span)["ashapp.place"] for span in server_spans) == ["loop", "loop", "thread"]
    assert len({span.context.trace_id for span in by_id.values() if span.context}) == 3
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.parametrize("error", [None, OSError("oops")])
def test_a_flush_disturbs_no_shutdown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    flushed: list[int] = []

    def flush(milliseconds: int) -> None:
        flushed.append(milliseconds)
        if error:
            raise error

    provider = TracerProvider()
    monkeypatch.setattr(provider, "force_flush", flush)
    Tracer(provider).flush()
    Tracer(trace.NoOpTracerProvider()).flush()
    assert flushed == [3000]
    assert caplog.messages == (["The last traces can't be sent"] if error else [])
    provider.shutdown()
