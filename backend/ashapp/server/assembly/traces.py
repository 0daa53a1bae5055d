# SPDX-License-Identifier: MIT
"""Traces by the standard variables of OpenTelemetry; without them nothing of it is imported.

Traces are made where ``OTEL_TRACES_EXPORTER`` names an exporter, or else ``OTEL_EXPORTER_OTLP_ENDPOINT`` or
``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` an address, unless ``OTEL_SDK_DISABLED`` is true.
"""

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ashapp.server.errors import StartupError

if TYPE_CHECKING:
    from ashapp.observe.tracing import Tracer

__all__ = ["is_configured", "make_tracer"]

_log = logging.getLogger("ashapp.server")

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def is_configured(environ: Mapping[str, str]) -> bool:
    """Return whether traces are asked for."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if exporter:
        return exporter.lower() != "none"
    return any(environ.get(name) for name in _ENDPOINTS)


def make_tracer(environ: Mapping[str, str], *, query: bool) -> "Tracer | None":
    """Return what makes the spans, or None if traces are not asked for, or OpenTelemetry is not installed.

    Raises:
        StartupError: a variable names an exporter that is not there.

    """
    if not is_configured(environ):
        return None
    try:
        from ashapp.observe.tracing import Tracer, make_provider  # noqa: PLC0415 - costs time and memory
    except ImportError as error:
        _log.warning(
            "Traces are asked for by OTEL_ variables, but can't be made: %s. "
            "Install ashapp-backend[otel], or set OTEL_SDK_DISABLED=true",
            error,
        )
        return None
    try:
        provider = make_provider(environ)
    except ValueError as error:
        raise StartupError(str(error)) from error
    return Tracer(provider, query=query)
