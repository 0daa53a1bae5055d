# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Gauge, Histogram, Metric, NumberDataPoint, Sum
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, Counter, Summary
from prometheus_client import Gauge as PrometheusGauge
from prometheus_client import Histogram as PrometheusHistogram

from ashapp.observe.metrics.otlp import convert

TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def converted(registry: CollectorRegistry) -> list[Metric]:
    (resource,) = convert(registry.collect(), Resource({}), 1, 2).resource_metrics
    (scope,) = resource.scope_metrics
    return list(scope.metrics)


def test_a_histogram_has_the_name_of_the_conventions_and_its_exemplars(registry: CollectorRegistry) -> None:
    labels = ["http_request_method", "http_route", "http_response_status_code"]
    name = "http_server_request_duration_seconds"
    durations = PrometheusHistogram(name, "Time.", labels, registry=registry, buckets=(0.1, 1))
    for value in (0.05, 0.5, 0.6, 7):
        durations.labels("GET", "", "200").observe(value, exemplar=TRACE if value == 0.6 else None)
    (metric,) = converted(registry)
    assert (metric.name, metric.unit) == ("http.server.request.duration", "s")
    assert isinstance(metric.data, Histogram)
    (point,) = metric.data.data_points
    assert point.attributes == {"http.request.method": "GET", "http.response.status_code": 200}
    assert (point.count, point.bucket_counts, point.explicit_bounds) == (4, [1, 2, 1], [0.1, 1])
    assert point.sum == pytest.approx(8.15)
    (exemplar,) = point.exemplars
    assert (exemplar.value, exemplar.trace_id) == (0.6, int(TRACE["trace_id"], 16))
    assert exemplar.span_id == int(TRACE["span_id"], 16)


@pytest.mark.parametrize(
    ("kind", "name", "converted_name", "data"),
    [
        (Counter, "ashapp_requests_shed", "ashapp.requests_shed", Sum),
        (PrometheusGauge, "ashapp_queued_requests", "ashapp.queued_requests", Gauge),
        (PrometheusGauge, "http_server_active_requests", "http.server.active_requests", Sum),
        (Counter, "shop_orders", "shop_orders", Sum),
    ],
)
def test_numbers(
    registry: CollectorRegistry, kind: Any, name: str, converted_name: str, data: type[Gauge] | type[Sum]
) -> None:
    kind(name, "What it counts.", ["shop_item"], registry=registry).labels("tea").inc(3)
    (metric,) = converted(registry)
    assert (metric.name, metric.description, metric.unit) == (converted_name, "What it counts.", "")
    assert isinstance(metric.data, data)
    assert metric.data.data_points == [NumberDataPoint({"shop_item": "tea"}, 1, 2, 3.0)]
    assert getattr(metric.data, "is_monotonic", False) is (kind is Counter)


def test_what_has_no_values_or_no_counterpart_is_left_out(registry: CollectorRegistry) -> None:
    Counter("shop_orders", "None yet.", ["shop_item"], registry=registry)
    Summary("shop_size", "No counterpart.", registry=registry).observe(1)
    assert converted(registry) == []
