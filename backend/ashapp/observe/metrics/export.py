# SPDX-License-Identifier: MIT
"""Sends metrics by OpenTelemetry, again and again, and once more at the end.

Imported only where metrics are sent: it needs the packages of the extra ``otel``.
"""

import logging
import threading
import time
import uuid
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from opentelemetry.sdk.resources import Resource
from prometheus_client.registry import Collector

from ashapp.observe.exporters import make_exporters
from ashapp.observe.metrics.otlp import convert

__all__ = ["MetricsExport"]

_log = logging.getLogger("ashapp.observe")

_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"
# Milliseconds ("OpenTelemetry Environment Variable Specification", periodic exporting).
_DEFAULT_INTERVAL = "60000"
# Seconds for the last export: a part of the time that a service has for its end.
_LAST = 3.0


class MetricsExport:
    """Sends what the *registry* collects, by the variables in *environ*, while it is entered.

    Raises:
        ValueError: a variable names an exporter that is not there, or no interval.
    """

    def __init__(self, registry: Collector, environ: Mapping[str, str]) -> None:
        interval = environ.get(_INTERVAL) or _DEFAULT_INTERVAL
        if not interval.isdecimal() or interval.strip("0") == "":
            raise ValueError(f"{_INTERVAL} = {interval!r}: expected milliseconds, a whole number above 0")
        self._seconds = int(interval) / 1000
        self._registry = registry
        self._exporters = make_exporters("METRICS", environ)
        # Each process sends its own counts: those of two must not be taken for one's. A variable may name the
        # process.
        self._resource = Resource({"service.instance.id": str(uuid.uuid4())}).merge(Resource.create())
        self._start = time.time_ns()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ashapp-metrics", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(_LAST)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            is_over = self._end.wait(self._seconds)
            try:
                data = convert(self._registry.collect(), self._resource, self._start, time.time_ns())
                for exporter in self._exporters:
                    exporter.export(data, timeout_millis=_LAST * 1000)
            except Exception:
                _log.exception("The metrics can't be sent")
        for exporter in self._exporters:
            exporter.shutdown()
