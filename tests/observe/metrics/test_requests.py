# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.samples import Sample

from ashapp.observe.metrics.families import DURATION_BUCKETS
from ashapp.observe.metrics.requests import RequestMetrics
from ashapp.observe.observation import Observation
from ashapp.observe.observer import Observer
from tests.support.asgi import Client, http_scope

DURATION = "http_server_request_duration_seconds"
LABELS = {
    "http_request_method": "GET",
    "http_route": "/users/<int:id>",
    "http_response_status_code": "200",
    "url_scheme": "http",
    "ashapp_place": "loop",
}


class Counted:
    """Metrics, and what they say."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = RequestMetrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def count(self, name: str, **labels: str) -> float:
        """Add up the samples called *name* that have *labels* among theirs."""
        return sum(s.value for s in self.samples(name) if labels.items() <= s.labels.items())

    def samples(self, name: str) -> list[Sample]:
        samples = [sample for metric in self.registry.collect() for sample in metric.samples]
        return [sample for sample in samples if sample.name == name]


@pytest.fixture
def counted() -> Counted:
    return Counted()


def ended(**attributes: Any) -> Observation:
    """An observation that has ended, of a request that the bridge has answered in its own way."""

    async def send(message: Any) -> None:
        raise AssertionError("nothing is sent")

    scope = http_scope(attributes.pop("method", "GET"))
    scope["scheme"] = attributes.pop("scheme", "http")
    observation = Observation(scope, send, lambda _: None)
    observation.status, observation.place, observation.route = 200, "loop", "/users/<int:id>"
    for name, value in attributes.items():
        setattr(observation, name, value)
    return observation


def test_a_request_is_counted_and_timed_by_route_method_status_and_place(counted: Counted) -> None:
    counted.metrics.put(ended(duration=0.3))
    counted.metrics.put(
        ended(duration=0.001, place="thread", status=404, route=None, method="POST", scheme="https")
    )
    labels = LABELS
    assert counted.value(f"{DURATION}_count", **labels) == 1
    assert counted.value(f"{DURATION}_sum", **labels) == 0.3
    assert counted.value(f"{DURATION}_bucket", **labels, le="0.25") == 0
    assert counted.value(f"{DURATION}_bucket", **labels, le="0.5") == 1
    labels = {
        "http_request_method": "POST",
        "http_route": "",
        "http_response_status_code": "404",
        "url_scheme": "https",
        "ashapp_place": "thread",
    }
    assert counted.value(f"{DURATION}_bucket", **labels, le="0.005") == 1


def test_an_exemplar_names_the_trace_of_a_request_that_is_sampled(counted: Counted) -> None:
    for is_sampled in (False, True):
        context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(is_sampled))
        request = ended(duration=0.3 if is_sampled else 0.001, span=NonRecordingSpan(context))
        counted.metrics.put(request)
    text = generate_latest(counted.registry).decode()
    (line,) = [line for line in text.splitlines() if "trace_id" in line]
    assert 'le="0.5"' in line
    assert f'trace_id="{request.trace_id}"' in line
    assert f'span_id="{request.span_id}"' in line


def test_the_buckets_are_those_that_opentelemetry_advises() -> None:
    assert DURATION_BUCKETS == (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


def test_what_clients_make_up_makes_no_new_series(counted: Counted) -> None:
    for number in range(50):
        counted.metrics.put(ended(method=f"M{number}", scheme=f"s{number}"))
    counted.metrics.put(ended(method="BREW", scheme="http"))
    for method in ("GET", "GET", "QUERY"):
        counted.metrics.put(ended(method=method))
    assert counted.count(f"{DURATION}_count", http_request_method="_OTHER", url_scheme="http") == 51
    assert counted.metrics.totals() == {("/users/<int:id>", "loop"): 54}
    assert len(counted.samples(f"{DURATION}_count")) == 3


@pytest.mark.parametrize(
    ("place", "status", "shed"), [(None, 503, 1), (None, 400, 0), ("thread", 503, 0), ("loop", 503, 0)]
)
def test_what_the_server_answers_itself_is_told_apart(
    counted: Counted, place: str | None, status: int, shed: int
) -> None:
    counted.metrics.put(ended(place=place, status=status, route=None))
    assert counted.count(f"{DURATION}_count", ashapp_place=place or "server") == 1
    assert counted.value("ashapp_requests_shed_total") == shed


def test_a_client_that_has_gone_is_counted_with_the_status_that_it_was_sent_if_any(counted: Counted) -> None:
    counted.metrics.put(ended(disconnected=True, status=None))
    counted.metrics.put(ended(disconnected=True))
    assert counted.value("ashapp_client_disconnects_total") == 2
    assert counted.count(f"{DURATION}_count", http_response_status_code="") == 1
    assert counted.count(f"{DURATION}_count", http_response_status_code="200") == 1


def test_only_requests_on_threads_have_waited_for_one(counted: Counted) -> None:
    counted.metrics.put(ended(place="thread", queued=0.07))
    counted.metrics.put(ended(place="loop"))
    counted.metrics.put(ended(place=None))
    assert counted.value("ashapp_thread_wait_seconds_count") == 1
    assert counted.value("ashapp_thread_wait_seconds_sum") == 0.07


def test_what_others_have_counted_is_taken_over_as_it_adds_up(counted: Counted) -> None:
    for refused, lost_lines in (({431: 2}, 2), ({431: 2, 408: 1}, 2), ({431: 5, 408: 1}, 5)):
        counted.metrics.take_over(refused, {}, lost_lines)
    name = "ashapp_requests_refused_total"
    assert counted.value(name, http_response_status_code="431") == 5
    assert counted.value(name, http_response_status_code="408") == 1
    assert counted.value("ashapp_log_lines_lost_total") == 5


def test_what_others_measure_is_noted(counted: Counted) -> None:
    counted.metrics.note_lag(0.002)
    counted.metrics.note_block("view")
    assert counted.value("ashapp_event_loop_lag_seconds_bucket", le="0.001") == 0
    assert counted.value("ashapp_event_loop_lag_seconds_bucket", le="0.005") == 1
    assert counted.value("ashapp_event_loop_blocks_total", ashapp_endpoint="view") == 1


async def test_a_request_is_counted_before_its_client_has_the_whole_response(counted: Counted) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert counted.metrics.active == 1
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        assert counted.count(f"{DURATION}_count") == 0
        await send({"type": "http.response.body", "body": b"b"})

    observer = Observer(app, [counted.metrics])

    async def send(message: Any) -> None:
        counts.append((message.get("body"), counted.count(f"{DURATION}_count")))

    counts: list[tuple[bytes | None, float]] = []
    await observer(http_scope(), Client().receive, send)
    assert counts == [(None, 0), (b"a", 0), (b"b", 1)]
    assert counted.metrics.active == 0


@pytest.mark.parametrize("is_in_files", [True, False])
def test_what_others_read_is_written_without_being_asked(
    monkeypatch: pytest.MonkeyPatch, *, is_in_files: bool
) -> None:
    if is_in_files:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/unused")
    metrics = Counted().metrics
    metrics.put(ended(duration=0.3))
    metrics.flush()
    assert not metrics._waiting
    assert metrics._registry.get_sample_value(f"{DURATION}_sum", LABELS) == (0.3 if is_in_files else 0)
