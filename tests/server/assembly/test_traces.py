# SPDX-License-Identifier: MIT
"""Traces as a service makes them, read by a collector of our own."""

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ashapp.server.assembly.traces import is_configured, make_tracer
from ashapp.server.errors import StartupError
from tests.support.process import serving

SHOP = """
    from flask import Flask
    from opentelemetry import trace

    app = Flask(__name__)
    app.secret_key = "9f2c6d0b1e7a4538"

    @app.get("/sync/<int:number>")
    def sync_view(number):
        with trace.get_tracer("shop").start_as_current_span("query"):
            return "sync"

    @app.get("/fail")
    async def fail():
        raise LookupError("no such item")
    """


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "shop"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, False),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "TRUE"}, False),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "false"}, True),
    ],
)
def test_traces_are_asked_for_by_the_standard_variables(environ: dict[str, str], *, expected: bool) -> None:
    assert is_configured(environ) is expected


def test_nothing_is_imported_unless_asked_for() -> None:
    code = """
import os, sys
from flask import Flask
from ashapp.server.assembly.application import assemble
from ashapp.server.settings.loading import load
assemble(Flask("shop"), load({"management_port": "off"}))
sys.exit(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


def test_a_missing_package_is_told_and_the_service_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "ashapp.observe.tracing", None)
    with caplog.at_level(logging.WARNING, "ashapp.server"):
        assert make_tracer({"OTEL_TRACES_EXPORTER": "console"}, query=False) is None
    (message,) = caplog.messages
    assert "Install ashapp-backend[otel]" in message


def test_a_wrong_variable_stops_the_start() -> None:
    with pytest.raises(StartupError, match="OTEL_TRACES_EXPORTER = 'smoke'"):
        make_tracer({"OTEL_TRACES_EXPORTER": "smoke"}, query=False)


class Collector:
    """Takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.endpoint = ""

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") is None:
                    requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None: ...

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
            try:
                yield self
            finally:
                server.shutdown()
                thread.join(20)

    @property
    def spans(self) -> list[tuple[str, str, str, str]]:
        """Service, name, parent's name and status of each span."""
        found = [
            (next(a.value.string_value for a in r.resource.attributes if a.key == "service.name"), span)
            for request in self.requests
            for r in request.resource_spans
            for scope in r.scope_spans
            for span in scope.spans
        ]
        names = {span.span_id: span.name for _, span in found}
        return sorted(
            (service, span.name, names.get(span.parent_span_id, ""), str(span.status.code))
            for service, span in found
        )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_sends_its_spans_at_its_end_at_the_latest(tmp_path: Path, workers: str) -> None:
    (tmp_path / "shop.py").write_text(dedent(SHOP))
    with Collector().running() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "shop"}
        with serving(["shop", "--workers", workers], cwd=tmp_path, env=environ) as server:
            for path in ("/sync/7", "/fail", "/livez"):
                httpx.get(f"{server.base_url}{path}", trust_env=False, timeout=20)
            assert server.stop() == 0
    assert collector.spans == [
        ("shop", "GET /fail", "", "2"),
        ("shop", "GET /sync/<int:number>", "", "0"),
        ("shop", "query", "GET /sync/<int:number>", "0"),
    ]
