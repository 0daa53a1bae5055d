# SPDX-License-Identifier: MIT
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client import CollectorRegistry, Counter, Metric
from prometheus_client.registry import Collector

from ashapp.observe.metrics.export import MetricsExport
from tests.support.services import collector
from tests.support.waiting import until

INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"


class Broken(Collector):
    """What can't be collected the first time."""

    has_failed = False

    def collect(self) -> list[Metric]:
        if not self.has_failed:
            self.has_failed = True
            raise LookupError("not yet")
        return []


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("shop_orders", "Orders.", registry=registry).inc()
    return registry


def values(metrics: list[ExportMetricsServiceRequest]) -> list[float]:
    """Return the number that each message has of the one metric."""
    found = []
    for request in metrics:
        (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
        found.append(metric.sum.data_points[0].as_double)
    return found


@pytest.mark.parametrize(("interval", "least"), [("10", 3), ("60000", 0), ("", 0)])
def test_metrics_are_sent_in_intervals_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry, interval: str, least: int
) -> None:
    with collector.Collector().running() as sent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sent.endpoint)
        with MetricsExport(registry, {INTERVAL: interval}):
            until(lambda: len(sent.metrics) >= least)
        assert len(sent.metrics) > least
    assert set(values(sent.metrics)) == {1.0}
    (instance,) = {
        attribute.value.string_value
        for request in sent.metrics
        for attribute in request.resource_metrics[0].resource.attributes
        if attribute.key == "service.instance.id"
    }
    assert instance


@pytest.mark.parametrize("interval", ["0", "-5"])
def test_a_wrong_interval_is_told(registry: CollectorRegistry, interval: str) -> None:
    with pytest.raises(ValueError, match=f"{INTERVAL} = '{interval}': expected milliseconds"):
        MetricsExport(registry, {INTERVAL: interval})


def test_what_fails_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Broken()
    with collector.Collector().running() as sent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", sent.endpoint)
        with MetricsExport(broken, {INTERVAL: "10"}):
            until(lambda: sent.metrics)
    (record,) = caplog.records
    assert (record.getMessage(), record.exc_info is not None) == ("The metrics can't be sent", True)
