# SPDX-License-Identifier: MIT
"""An application under a tool that is named, in a process of its own: tools patch Flask for all of it.

It prints what the tool has recorded of requests of a view that waits: spans with name, parent and seconds.
"""

# ruff: noqa: PLC0415 - tools patch what they find when they are imported

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

import flask
import httpx

WAIT = 0.3

Spans = Iterator[tuple[str, str | None, float]]
# What begins a span in a view, and what the tool has recorded in the end.
Tool = tuple[Callable[[], AbstractContextManager[Any]], Callable[[], Spans]]


def opentelemetry() -> Tool:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)

    def recorded() -> Spans:
        spans = exporter.get_finished_spans()
        names = {span.context.span_id: span.name for span in spans}
        for span in spans:
            seconds = ((span.end_time or 0) - (span.start_time or 0)) / 1e9
            yield span.name, names[span.parent.span_id] if span.parent else None, seconds

    return lambda: trace.get_tracer("test").start_as_current_span("inner"), recorded


def sentry() -> Tool:
    import sentry_sdk
    from sentry_sdk.transport import Transport

    roots: list[Any] = []

    class Keep(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            roots.extend(item.payload.json for item in envelope.items if item.type == "transaction")

    sentry_sdk.init("http://key@127.0.0.1:9/1", traces_sample_rate=1.0, transport=Keep)

    def seconds(span: Any) -> float:
        begin, end = (datetime.fromisoformat(span[name]) for name in ("start_timestamp", "timestamp"))
        return (end - begin).total_seconds()

    def recorded() -> Spans:
        for root in roots:
            yield "request", None, seconds(root)
            for span in root["spans"]:
                is_below = span["parent_span_id"] == root["contexts"]["trace"]["span_id"]
                yield span["description"], "request" if is_below else "another", seconds(span)

    return lambda: sentry_sdk.start_span(op="inner", name="inner"), recorded


def ddtrace() -> Tool:
    for name in ("INSTRUMENTATION_TELEMETRY", "REMOTE_CONFIGURATION", "CRASHTRACKING"):
        os.environ[f"DD_{name}_ENABLED"] = "false"
    importlib.import_module("ddtrace.auto")
    from ddtrace.trace import TraceFilter, tracer

    spans: list[Any] = []

    class Keep(TraceFilter):
        def process_trace(self, trace: Any) -> None:
            spans.extend(trace)

    tracer.configure(trace_processors=[Keep()])

    def recorded() -> Spans:
        names = {span.span_id: span.name for span in spans}
        for span in spans:
            yield span.name, names.get(span.parent_id), span.duration

    return lambda: tracer.trace("inner"), recorded


def newrelic() -> Tool:
    os.environ |= {
        "NEW_RELIC_DEVELOPER_MODE": "true",
        "NEW_RELIC_LICENSE_KEY": "0" * 40,
        "NEW_RELIC_APP_NAME": "test",
    }
    import newrelic.agent
    from newrelic.api.application import Application

    newrelic.agent.initialize()
    newrelic.agent.register_application(timeout=10)
    roots: list[Any] = []
    Application.record_transaction = lambda _self, data, *_: roots.append(data.root)

    def walk(node: Any, parent: str | None) -> Spans:
        yield node.name, parent, node.duration
        for child in node.children:
            yield from walk(child, node.name)

    def recorded() -> Spans:
        for root in roots:
            yield from walk(root, None)

    return lambda: newrelic.agent.FunctionTrace("inner"), recorded


def by_default() -> None:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    FlaskInstrumentor().instrument()


def of_an_application(app: Any) -> None:
    from opentelemetry.instrumentation.flask import FlaskInstrumentor

    FlaskInstrumentor().instrument_app(app)


def of_wsgi(app: Any) -> None:
    from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware

    app.wsgi_app = OpenTelemetryMiddleware(app.wsgi_app)


# By its name a tool, and what is done before there is an application, and with it.
TOOLS: dict[str, tuple[Callable[[], Tool], Callable[[], None] | None, Callable[[Any], None] | None]] = {
    "OpenTelemetry for all": (opentelemetry, by_default, None),
    "OpenTelemetry for one": (opentelemetry, None, of_an_application),
    "OpenTelemetry for WSGI": (opentelemetry, None, of_wsgi),
    "Datadog": (ddtrace, None, None),
    "New Relic": (newrelic, None, None),
    "Sentry": (sentry, None, None),
}


async def ask(bridge: Any) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(bridge), base_url="http://test") as client:
        for answer in await asyncio.gather(*(client.get("/wait") for _ in range(5))):
            assert answer.text == "waited"


def main(name: str) -> None:
    tool, before, after = TOOLS[name]
    inner, recorded = tool()
    if before:
        before()
    app = flask.Flask("app", static_folder=None)

    @app.get("/wait")
    async def wait() -> str:
        await asyncio.sleep(0)
        with inner():
            await asyncio.sleep(WAIT)
        return "waited"

    if after:
        after(app)

    from ashapp import FlaskToAsgi
    from ashapp.bridge.loop_or_thread.hindrances import find_hindrance, tools_around

    bridge = FlaskToAsgi(app)
    asyncio.run(ask(bridge))
    told = {
        "hindrance": find_hindrance(app),
        "tools": tools_around(app),
        "threads": bridge.threads.started + bridge.request_threads.started,
        "spans": list(recorded()),
    }
    print(json.dumps(told), flush=True)
    os._exit(0)  # the tools would try to send what they have


if __name__ == "__main__":
    main(sys.argv[1])
