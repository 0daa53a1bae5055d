# SPDX-License-Identifier: MIT
"""Logs by OpenTelemetry: the records of `logging`, and a record for each request.

Imported only where logs are sent: it needs the packages of the extra ``otel``. Their modules for logs have an
underscore, as they may still change ("Logs SDK", development); they are used here alone.
"""

import logging
import traceback
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from ashapp.observe.exporters import make_exporters
from ashapp.observe.observation import Observation, current
from ashapp.observe.tracing import FLUSH_TIMEOUT, outcome

__all__ = ["LogsExport"]

# The loggers with handlers of their own: see ``log_config``.
_LOGGERS = ("", "ashapp", "uvicorn")


class LogsExport(logging.Handler):
    """Sends log records, by the variables in *environ*; also a sink of the observer, for the access log.

    Raises:
        ValueError: a variable names an exporter that is not there.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__()
        self._provider = LoggerProvider(shutdown_on_exit=False)
        for exporter in make_exporters("LOGS", environ):
            self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        self._access = self._provider.get_logger("ashapp.access")

    def attach(self) -> None:
        """Take the records of all loggers."""
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Send *record*, unless it tells of the sending itself."""
        if record.name.startswith("opentelemetry"):
            return
        sent = _record(record.created, record.levelno, _message(record), current.get())
        sent.attributes = {"code.file.path": record.pathname, "code.line.number": record.lineno}
        if record.exc_info and (error := record.exc_info[1]) is not None:
            sent.attributes |= {
                "exception.type": type(error).__qualname__,
                "exception.message": str(error),
                "exception.stacktrace": "".join(traceback.format_exception(error)),
            }
        self._provider.get_logger(record.name).emit(sent)

    def __call__(self, observation: Observation) -> None:
        """Send a record of a request that has ended."""
        sent = _record(None, logging.INFO, "request", observation)
        sent.attributes = {"http.request.method": observation.scope.get("method", "GET")}
        sent.attributes |= {"url.path": observation.scope["path"], **outcome(observation)}
        sent.attributes["http.server.request.duration"] = observation.duration
        self._access.emit(sent)

    def finish(self) -> None:
        """Send what has been logged, if that is possible. Blocks."""
        self._provider.force_flush(FLUSH_TIMEOUT)


def _message(record: logging.LogRecord) -> str:
    if isinstance(record.msg, dict):  # of structlog
        return str(record.msg.get("event", record.msg))
    try:
        return record.getMessage()
    except Exception:  # its arguments don't fit; the handler of the lines tells so
        return str(record.msg)


def _record(created: float | None, level: int, body: str, observation: Observation | None) -> Any:
    nanoseconds = None if created is None else int(created * 1e9)
    return LogRecord(
        timestamp=nanoseconds,
        context=Context() if observation is None else _context(observation),
        severity_text=logging.getLevelName(level),
        severity_number=SeverityNumber(min(max(level // 10, 0), 5) * 4 + 1),  # DEBUG is 5, INFO is 9
        body=body,
    )


def _context(observation: Observation) -> Context:
    """Return the context of a request, which has ids also where no traces are made."""
    span = observation.span
    if span is None:
        ids = int(observation.trace_id, 16), int(observation.span_id, 16)
        span = NonRecordingSpan(SpanContext(*ids, is_remote=False, trace_flags=TraceFlags(0)))
    return trace.set_span_in_context(span, Context())
