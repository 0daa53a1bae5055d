# SPDX-License-Identifier: MIT
"""Metrics of prometheus-client as OpenTelemetry sends them.

Theory of operation. Only the registry of the management port has the metrics of all workers. So the same
metrics are sent that a scraper would read there. Ours are sent by their names in OpenTelemetry's conventions,
which Prometheus can't write: ``http_server_request_duration_seconds`` is ``http.server.request.duration``, in
seconds. The application's metrics keep their names.

Imported only where metrics are sent: it needs the packages of the extra ``otel``.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Sample

__all__ = ["convert"]

_NAMES = {
    "http_server_request_duration_seconds": "http.server.request.duration",
    "http_server_active_requests": "http.server.active_requests",
    "http_request_method": "http.request.method",
    "http_response_status_code": "http.response.status_code",
    "http_route": "http.route",
    "url_scheme": "url.scheme",
}
_OURS = "ashapp_"
_SECONDS = "_seconds"
_NUMBERS = frozenset({"http.response.status_code", "ashapp.close_code"})

# The protocol's value for a field that is left out.
_UNKNOWN: Any = None

_Attributes = dict[str, str | int]


def convert(families: Iterable[Family], resource: Resource, start: int, now: int) -> MetricsData:
    """Return *families* as OpenTelemetry's; *start* of the counting and *now* are nanoseconds since 1970."""
    metrics = [metric for family in families if (metric := _metric(family, start, now))]
    scope = ScopeMetrics(InstrumentationScope("ashapp"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(family: Family, start: int, now: int) -> Metric | None:
    data: Gauge | Histogram | Sum
    if family.type == "histogram":
        points = [*_histogram_points(family, start, now)]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
    elif family.type == "counter":
        numbers = _number_points(family, "_total", start, now)
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=True)
    elif family.name == "http_server_active_requests":  # by the conventions it goes up and down
        numbers = _number_points(family, "", start, now)
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, is_monotonic=False)
    elif family.type in {"gauge", "info", "unknown"}:
        data = Gauge(_number_points(family, "_info" if family.type == "info" else "", start, now))
    else:  # no counterpart of a summary is made any more
        return None
    unit = "s" if family.name.endswith(_SECONDS) else ""
    return Metric(_name(family.name), family.documentation, unit, data) if data.data_points else None


def _number_points(family: Family, suffix: str, start: int, now: int) -> list[NumberDataPoint]:
    name = f"{family.name}{suffix}"
    return [
        NumberDataPoint(_attributes(sample.labels), start, now, sample.value)
        for sample in family.samples
        if sample.name == name
    ]


def _histogram_points(family: Family, start: int, now: int) -> Iterator[HistogramDataPoint]:
    series: dict[tuple[tuple[str, str], ...], list[Sample]] = defaultdict(list)
    sums: dict[tuple[tuple[str, str], ...], float] = defaultdict(float)
    for sample in family.samples:
        key = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name == f"{family.name}_bucket":
            series[key].append(sample)
        elif sample.name == f"{family.name}_sum":
            sums[key] = sample.value
    for key, samples in series.items():
        buckets = sorted((float(sample.labels["le"]), int(sample.value)) for sample in samples)
        totals = [total for _, total in buckets]
        yield HistogramDataPoint(
            _attributes(dict(key)),
            start,
            now,
            count=totals[-1],
            sum=sums[key],
            bucket_counts=[after - before for before, after in zip([0, *totals], totals, strict=False)],
            explicit_bounds=[bound for bound, _ in buckets[:-1]],
            min=_UNKNOWN,
            max=_UNKNOWN,
            exemplars=[exemplar for sample in samples if (exemplar := _exemplar(sample))],
        )


def _exemplar(sample: Sample) -> Exemplar | None:
    found = sample.exemplar
    if found is None:
        return None
    ids = (int(found.labels[name], 16) if name in found.labels else None for name in ("span_id", "trace_id"))
    return Exemplar({}, found.value, int(float(found.timestamp or 0) * 1e9), *ids)


def _attributes(labels: Mapping[str, str]) -> _Attributes:
    """Return *labels* by their names in the conventions; an empty one is none."""
    named = {_name(name): value for name, value in labels.items() if value}
    return {name: int(value) if name in _NUMBERS else value for name, value in named.items()}


def _name(name: str) -> str:
    if name.startswith(_OURS):
        return name.removesuffix(_SECONDS).replace(_OURS, "ashapp.", 1)
    return _NAMES.get(name, name)
