# SPDX-License-Identifier: MIT
"""Traces and logs of a worker, by OpenTelemetry's own variables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ashapp.server.telemetry import if_asked_for

if TYPE_CHECKING:
    from ashapp.observe.logs.otlp import LogsExport
    from ashapp.observe.tracing import Tracer

__all__ = ["make_logs", "make_tracer"]


def make_tracer(environ: Mapping[str, str], *, query: bool) -> "Tracer | None":
    """Return what makes the spans, or None if traces are not asked for, or OpenTelemetry is not installed.

    Raises:
        StartupError: a variable names an exporter that is not there.

    """

    def make() -> "Tracer":
        from ashapp.observe.tracing import Tracer, make_provider  # noqa: PLC0415 - costs time and memory

        return Tracer(make_provider(environ), query=query)

    return if_asked_for("TRACES", environ, make)


def make_logs(environ: Mapping[str, str]) -> "LogsExport | None":
    """Return what sends the log, or None if that is not asked for, or OpenTelemetry is not installed.

    Raises:
        StartupError: a variable names an exporter that is not there.

    """

    def make() -> "LogsExport":
        from ashapp.observe.logs.otlp import LogsExport  # noqa: PLC0415 - as above

        return LogsExport(environ)

    return if_asked_for("LOGS", environ, make)
