# SPDX-License-Identifier: MIT
"""A collector of OpenTelemetry, which keeps the traces, metrics and logs that it is sent."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Collector"]


class Collector:
    """Takes spans, metrics and logs as OTLP over HTTP."""

    def __init__(self) -> None:
        self.metrics: list[ExportMetricsServiceRequest] = []
        self.logs: list[ExportLogsServiceRequest] = []
        self.requests: list[ExportTraceServiceRequest] = []
        self.endpoint = ""

    @contextmanager
    def running(self) -> Iterator["Collector"]:
        requests, metrics, logs = self.requests, self.metrics, self.logs

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path == "/v1/traces":
                    requests.append(ExportTraceServiceRequest.FromString(body))
                elif self.path == "/v1/metrics":
                    metrics.append(ExportMetricsServiceRequest.FromString(body))
                elif self.path == "/v1/logs":
                    logs.append(ExportLogsServiceRequest.FromString(body))
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
    def log_records(self) -> list[tuple[str, LogRecord]]:
        """The logger of each log record, and the record."""
        return [
            (scope.scope.name, record)
            for request in self.logs
            for scope in request.resource_logs[0].scope_logs
            for record in scope.log_records
        ]

    @property
    def recorded(self) -> list[tuple[str, Span]]:
        """The service of each span, and the span."""
        return [
            (next(a.value.string_value for a in r.resource.attributes if a.key == "service.name"), span)
            for request in self.requests
            for r in request.resource_spans
            for scope in r.scope_spans
            for span in scope.spans
        ]

    @property
    def spans(self) -> list[tuple[str, str, str, str]]:
        """Service, name, parent's name and status of each span."""
        names = {span.span_id: span.name for _, span in self.recorded}
        return sorted(
            (service, span.name, names.get(span.parent_span_id, ""), str(span.status.code))
            for service, span in self.recorded
        )
