# SPDX-License-Identifier: MIT
"""Traces as a service makes them, read by a collector of our own."""

import logging
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from ashapp.server.errors import StartupError
from ashapp.server.telemetry import if_asked_for
from tests.support.process import run, serving
from tests.support.services.collector import Collector

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


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The providers that there have been for the process, the last one first; none is there at first."""
    providers: list[Any] = [trace.ProxyTracerProvider()]
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: providers[0])
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: providers.insert(0, provider))
    yield providers
    for provider in providers[:-1]:
        provider.shutdown()


def make_tracer(environ: dict[str, str]) -> Any:
    return if_asked_for("TRACES", environ, "ashapp.observe.tracing:make_tracer", query=False)


def exporters_of(provider: Any) -> list[str]:
    processors = provider._active_span_processor._span_processors
    return [type(processor.span_exporter).__name__ for processor in processors]


OTLP, CONSOLE = "OTLPSpanExporter", "ConsoleSpanExporter"
ADDRESS = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("variables", "exporters"),
    [
        ({}, None),
        ({"EXPORTER_OTLP_ENDPOINT": ADDRESS}, [OTLP]),
        ({"EXPORTER_OTLP_TRACES_ENDPOINT": f"{ADDRESS}/v1/traces"}, [OTLP]),
        ({"EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"TRACES_EXPORTER": "console"}, [CONSOLE]),
        ({"TRACES_EXPORTER": "otlp, console"}, [OTLP, CONSOLE]),
        ({"TRACES_EXPORTER": "otlp", "EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}, [OTLP]),
        ({"TRACES_EXPORTER": "none", "EXPORTER_OTLP_ENDPOINT": ADDRESS}, None),
        ({"TRACES_EXPORTER": "console", "SDK_DISABLED": "TRUE"}, None),
        ({"TRACES_EXPORTER": "console", "SDK_DISABLED": "false"}, [CONSOLE]),
    ],
)
def test_traces_are_asked_for_by_the_standard_variables(
    monkeypatch: pytest.MonkeyPatch, made: list[Any], variables: dict[str, str], exporters: list[str] | None
) -> None:
    environ = {f"OTEL_{name}": value for name, value in variables.items()}
    for name, value in {**environ, "OTEL_SERVICE_NAME": "shop"}.items():
        monkeypatch.setenv(name, "false" if name == "OTEL_SDK_DISABLED" else value)
    for _ in range(2):  # there is one for the process
        assert (make_tracer(environ) is None) is (exporters is None)
        assert len(made) == (1 if exporters is None else 2)
    if exporters is not None:
        assert exporters_of(made[0]) == exporters
        assert made[0].resource.attributes["service.name"] == "shop"


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize("variable", ["OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"])
def test_a_wrong_variable_stops_the_start(variable: str) -> None:
    with pytest.raises(StartupError, match=f"{variable} = 'smoke': no such exporter") as caught:
        make_tracer({"OTEL_TRACES_EXPORTER": "otlp", variable: "smoke"})
    assert "console, otlp_proto_http" in str(caught.value)


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
        assert make_tracer({"OTEL_TRACES_EXPORTER": "console"}) is None
    (message,) = caplog.messages
    assert "Install ashapp-backend[otel]" in message


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_service_sends_its_spans_and_metrics_at_its_end_at_the_latest(tmp_path: Path, workers: str) -> None:
    (tmp_path / "shop.py").write_text(dedent(SHOP))
    with Collector().running() as collector:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "shop"}
        environ["OTEL_LOGS_EXPORTER"] = "otlp"
        with serving(["shop", "--workers", workers], cwd=tmp_path, env=environ) as server:
            for path in ("/sync/7", "/sync/8", "/fail", "/livez"):
                httpx.get(f"{server.base_url}{path}", trust_env=False, timeout=20)
            assert server.stop() == 0
    assert collector.spans == [
        ("shop", "GET /fail", "", "2"),
        *[("shop", "GET /sync/<int:number>", "", "0")] * 2,
        *[("shop", "query", "GET /sync/<int:number>", "0")] * 2,
    ]
    loggers = Counter(name for name, _ in collector.log_records)
    assert loggers["ashapp.access"] == 3
    assert loggers["ashapp.server"] > 0
    assert durations(collector.metrics[-1]) == {("/sync/<int:number>", 200): 2, ("/fail", 500): 1}


def durations(request: ExportMetricsServiceRequest) -> dict[tuple[str, int], int]:
    """Return how many requests there were of each route and status."""
    (of_service,) = request.resource_metrics
    resource = {each.key: each.value.string_value for each in of_service.resource.attributes}
    assert resource["service.name"] == "shop"
    assert resource["service.instance.id"]
    metrics = {metric.name: metric for scope in of_service.scope_metrics for metric in scope.metrics}
    duration = metrics["http.server.request.duration"]
    assert duration.unit == "s"
    points = [
        ({each.key: each.value for each in p.attributes}, p.count) for p in duration.histogram.data_points
    ]
    return {
        (labels["http.route"].string_value, labels["http.response.status_code"].int_value): count
        for labels, count in points
        if "http.route" in labels
    }


def test_a_wrong_interval_stops_the_start() -> None:
    done = run(env={"OTEL_METRICS_EXPORTER": "console", "OTEL_METRIC_EXPORT_INTERVAL": "soon"})
    assert done.returncode != 0
    assert "OTEL_METRIC_EXPORT_INTERVAL = 'soon': expected milliseconds" in done.stderr
