# SPDX-License-Identifier: MIT
"""Exporters of OpenTelemetry, chosen by its standard variables. It is imported when one is made.

A signal is exported if ``OTEL_<SIGNAL>_EXPORTER`` names an exporter, or else if
``OTEL_EXPORTER_OTLP_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_<SIGNAL>_ENDPOINT`` gives an address. If
``OTEL_SDK_DISABLED`` is true, no signal is ("OpenTelemetry Environment Variable Specification"). For logs the
address for all signals is not enough: most clusters collect standard error already.
"""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Literal

__all__ = ["Signal", "is_asked_for", "make_exporters"]

Signal = Literal["TRACES", "METRICS", "LOGS"]


def is_asked_for(signal: Signal, environ: Mapping[str, str]) -> bool:
    """Return whether *signal* is to be exported."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environ.get(f"OTEL_{signal}_EXPORTER", "").strip()
    if exporter:
        return exporter.lower() != "none"
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return bool(own or (signal != "LOGS" and environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")))


def make_exporters(signal: Signal, environ: Mapping[str, str]) -> list[Any]:
    """Return the exporters of *signal*, which must be asked for.

    Raises:
        ValueError: the exporter or the protocol that a variable names is not there.
    """
    names = [name.strip() for name in (environ.get(f"OTEL_{signal}_EXPORTER") or "otlp").split(",")]
    return [_make(signal, name, environ) for name in names if name]


def _make(signal: Signal, name: str, environ: Mapping[str, str]) -> Any:
    variable, wanted = f"OTEL_{signal}_EXPORTER", name
    if name == "otlp":
        variable = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
        if variable not in environ:
            variable = "OTEL_EXPORTER_OTLP_PROTOCOL"
        name = environ.get(variable) or "http/protobuf"
        wanted = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}.get(name, name)
    kind = signal.lower()
    installed = {entry.name: entry for entry in entry_points(group=f"opentelemetry_{kind}_exporter")}
    if wanted not in installed:
        known = ", ".join(sorted(installed))
        raise ValueError(
            f"{variable} = {name!r}: no such exporter of {kind} is installed; there are: {known}"
        )
    return installed[wanted].load()()
