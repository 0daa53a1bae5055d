# SPDX-License-Identifier: MIT
"""Traces of the requests of a worker, by OpenTelemetry's own variables."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ashapp.server.telemetry import if_asked_for

if TYPE_CHECKING:
    from ashapp.observe.tracing import Tracer

__all__ = ["make_tracer"]


def make_tracer(environ: Mapping[str, str], *, query: bool) -> "Tracer | None":
    """Return what makes the spans, or None if traces are not asked for, or OpenTelemetry is not installed.

    Raises:
        StartupError: a variable names an exporter that is not there.

    """

    def make() -> "Tracer":
        from ashapp.observe.tracing import Tracer, make_provider  # noqa: PLC0415 - costs time and memory

        return Tracer(make_provider(environ), query=query)

    return if_asked_for("TRACES", environ, make)
