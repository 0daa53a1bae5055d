# SPDX-License-Identifier: MIT
import io
import platform
import time
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import pytest
from prometheus_client import REGISTRY, Counter, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from prometheus_client.registry import Collector
from werkzeug.exceptions import NotFound

import ashapp
from ashapp.bridge import WsgiToAsgi
from ashapp.server.fault_injection.board import FaultBoard
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.health.state import Health
from ashapp.server.management import gauges
from ashapp.server.management.pages import ManagementPages
from ashapp.server.worker_status.reporter import StatusReporter
from ashapp.server.worker_status.workers import LOAD, LocalWorker, WorkerStatus
from tests.server.answer import Answer


class Service(LocalWorker):
    """The workers that a test says there are."""

    def __init__(self, *statuses: WorkerStatus) -> None:
        super().__init__()
        self._statuses = list(statuses)

    def statuses(self) -> list[WorkerStatus]:
        return self._statuses


def ask(service: LocalWorker, path: str, method: str = "GET", **entries: Any) -> Answer:
    return Answer(ManagementPages(service, stalled=5), path, method, **entries)


def worker(pid: int, reason: str | None = None, age: float = -60.0, *checks: Outcome) -> WorkerStatus:
    """Return the status of a worker seen *age* seconds ago; by default a test that is late sees no stall."""
    moved = {"slow": "it has blocked the event loop"}
    load = dict(zip(LOAD, (4, 3, 2, 1, 1000, 7, 0, 0, 0, 0, 0), strict=True))
    return WorkerStatus(pid, time.monotonic() - age, reason, load, list(checks), moved)


def with_faults(*statuses: WorkerStatus) -> Service:
    service = Service(*statuses)
    service.faults = FaultBoard()
    return service


def body(data: bytes) -> dict[str, Any]:
    """Return the entries of the environ for a request with *data*."""
    return {
        "CONTENT_TYPE": "application/json; charset=utf-8",
        "CONTENT_LENGTH": str(len(data)),
        "wsgi.input": io.BytesIO(data),
    }


def samples(service: LocalWorker) -> dict[str, float]:
    """Return what /metrics tells: by the name of the series and the values of its labels."""
    metrics = parse_prometheus(ask(service, "/metrics").body.decode())
    return {s.name + "".join(s.labels.values()): s.value for metric in metrics for s in metric.samples}


def test_the_pages_are_listed_and_head_has_no_body() -> None:
    assert ask(Service(), "/").content == {"paths": ["/", "/livez", "/metrics", "/readyz"]}
    head = ask(Service(), "/livez", "HEAD")
    assert (head.status, head.body) == ("200 OK", b"")
    assert int(head.headers["Content-Length"]) > 0


def test_a_service_is_ready_if_one_of_its_workers_is() -> None:
    answer = ask(Service(worker(7), worker(8, "draining")), "/readyz")
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    common = {
        "active_requests": 4,
        "queued_requests": 3,
        "threads": 2,
        "busy_threads": 1,
        "async_threads": 1000,
        "busy_async_threads": 7,
        "websockets": 0,
        "websocket_threads": 0,
        "busy_websocket_threads": 0,
        "socketio_polls": 0,
        "unwritten_metrics": 0,
        "moved_views": {"slow": "it has blocked the event loop"},
        "checks": [],
    }
    assert answer.content == {
        "status": "ok",
        "workers": [
            {"pid": 7, "ready": True, "reason": None, **common},
            {"pid": 8, "ready": False, "reason": "draining", **common},
        ],
    }


def test_a_service_without_ready_workers_is_not() -> None:
    assert ask(Service(), "/readyz").status == "503 Service Unavailable"
    answer = ask(Service(worker(8, "draining")), "/readyz")
    assert answer.status == "503 Service Unavailable"
    assert answer.content["status"] == "unavailable"


def test_checks_are_told_in_detail() -> None:
    ended = time.time() - 60
    checks = Outcome("database", "OSError: gone", 2.0, ended), Outcome("cache", None, 0.1, 1_700_000_000.5)
    (database, cache) = ask(Service(worker(7, None, -60, *checks)), "/readyz").content["workers"][0]["checks"]
    assert 60 <= database.pop("age") < 120
    assert database.pop("time") > "2023"
    assert database == {"name": "database", "ok": False, "error": "OSError: gone", "duration": 2.0}
    assert (cache["ok"], cache["error"], cache["time"]) == (True, None, "2023-11-14T22:13:20.500+00:00")


def test_a_worker_without_a_sign_of_life_is_neither_alive_nor_ready() -> None:
    service = Service(worker(7), worker(8, age=60))
    answer = ask(service, "/livez")
    assert answer.status == "503 Service Unavailable"
    assert answer.content == {"status": "unavailable", "stalled_workers": [8]}
    stalled = ask(service, "/readyz").content["workers"][1]
    assert not stalled["ready"]
    assert stalled["reason"].startswith("no sign of life for 60.")


def test_a_service_is_alive_as_long_as_no_worker_is_stalled() -> None:
    for workers in ([], [worker(7, "draining"), worker(8, "draining")]):
        answer = ask(Service(*workers), "/livez")
        assert (answer.status, answer.content) == ("200 OK", {"status": "ok", "stalled_workers": []})


@pytest.mark.parametrize(
    ("path", "method", "status", "detail"),
    [
        ("/nosuch", "GET", 404, "There are only /, /livez, /metrics, /readyz."),
        ("/nosuch", "POST", 404, "There are only /, /livez, /metrics, /readyz."),
        ("/readyz", "POST", 405, "Use GET or HEAD."),
    ],
)
def test_what_is_not_there_is_a_problem(path: str, method: str, status: int, detail: str) -> None:
    answer = ask(Service(), path, method)
    assert answer.status.startswith(f"{status} ")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
    assert (answer.content["status"], answer.content["detail"]) == (status, detail)


def test_faults_are_asked_for_listed_and_cleared() -> None:
    service = with_faults(worker(8), worker(7))
    assert ask(service, "/").content["paths"] == ["/", "/faults", "/livez", "/metrics", "/readyz"]
    asked = ask(service, "/faults", "POST", **body(b'{"kind": "cpu", "worker": "one"}'))
    assert (asked.status, asked.headers["Location"]) == ("201 Created", "/faults/1")
    assert (asked.content["kind"], asked.content["workers"]) == ("cpu", [7])
    assert [each["id"] for each in ask(service, "/faults").content["faults"]] == ["1"]
    assert ask(service, "/faults/1").content["threads"] == 1
    assert samples(service)["ashapp_active_faultscpu"] == 1
    assert [each["id"] for each in ask(service, "/faults/1", "DELETE").content["cleared"]] == ["1"]
    ask(service, "/faults", "POST", **body(b'{"kind": "unready"}'))
    assert [each["id"] for each in ask(service, "/faults", "DELETE").content["cleared"]] == ["2"]
    assert ask(service, "/faults").content == {"faults": []}


@pytest.mark.parametrize(
    ("path", "method", "entries", "status", "detail"),
    [
        ("/faults", "POST", {"CONTENT_TYPE": "text/plain"}, 415, "Content-Type is 'text/plain': must be app"),
        ("/faults", "POST", {"CONTENT_LENGTH": ""}, 411, "Content-Length is missing, or no number."),
        (
            "/faults",
            "POST",
            {"CONTENT_LENGTH": "10001"},
            413,
            "Content-Length is 10001: must be at most 10000.",
        ),
        ("/faults", "POST", {}, 422, "kind = None: must be one of latency, "),
        (
            "/faults",
            "POST",
            body(b'{"kind": "cpu", "worker": 9}'),
            409,
            "worker = 9: must be 'all', 'one' or on",
        ),
        ("/faults", "PUT", {}, 405, "Use one of GET, HEAD, POST, DELETE."),
        ("/faults/1", "POST", {}, 405, "Use one of GET, HEAD, DELETE."),
        ("/faults/1", "GET", {}, 404, "There is no fault '1', or no more. There are: none."),
        ("/faults/1", "DELETE", {}, 404, "There is no fault '1', or no more. There are: none."),
        ("/faultsome", "GET", {}, 404, "There are only /, /faults, /livez, /metrics, /readyz."),
    ],
)
def test_what_is_wrong_with_a_request_for_a_fault_is_told(
    path: str, method: str, entries: dict[str, Any], status: int, detail: str
) -> None:
    answer = ask(with_faults(worker(7)), path, method, **{**body(b"{}"), **entries})
    assert answer.status.startswith(f"{status} ")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.content["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("accept", "kind", "parse"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", parse_prometheus),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", parse_openmetrics),
    ],
)
def test_metrics_are_in_the_format_that_is_asked_for(accept: str, kind: str, parse: Any) -> None:
    service = LocalWorker()
    StatusReporter(service, Health(), WsgiToAsgi(NotFound()))
    Counter("jobs", "Jobs.", ["kind"], registry=service.registry).labels("a").inc(3)
    answer = ask(service, "/metrics", HTTP_ACCEPT=accept)
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"].startswith(kind)
    metrics = {metric.name: metric for metric in parse(answer.body.decode())}
    assert {
        "http_server_request_duration_seconds",
        "http_server_active_requests",
        "ashapp_workers",
        "ashapp_event_loop_lag_seconds",
        "process_resident_memory_bytes",
    } <= set(metrics)
    samples = {(s.name, s.labels.get("kind")): s.value for s in metrics["jobs"].samples}
    assert samples["jobs_total", "a"] == 3


def test_what_the_workers_do_is_added_up() -> None:
    checks = [Outcome("database", None, 0.1, 1.0), Outcome("cache", "OSError: gone", 2.0, 1.0)]
    slow = [Outcome("database", None, 0.3, 1.0)]
    load = dict(zip(LOAD, (4, 3, 2, 1, 100, 7, 5, 50, 4, 8, 6), strict=True))
    more = {**dict.fromkeys(LOAD, 0), "active_requests": 10, "queued_requests": 20, "busy_threads": 25}
    service = Service(
        WorkerStatus(1, 0.0, "draining", load, checks, {"slow": "it blocks"}),
        WorkerStatus(2, 0.0, None, more, slow),
    )
    service.ended = 7
    expected = {
        "http_server_active_requests": 14,
        "ashapp_queued_requests": 23,
        "ashapp_threads": 2,
        "ashapp_busy_threads": 26,
        "ashapp_async_threads": 100,
        "ashapp_busy_async_threads": 7,
        "ashapp_websockets": 5,
        "ashapp_websocket_threads": 50,
        "ashapp_busy_websocket_threads": 4,
        "ashapp_socketio_polls": 8,
        "ashapp_moved_views": 1,
        "ashapp_unwritten_metrics": 6,
        "ashapp_workers": 2,
        "ashapp_ready_workers": 1,
        "ashapp_ended_workers_total": 7,
        "ashapp_readiness_check_failing_workerscache": 1,
        "ashapp_readiness_check_failing_workersdatabase": 0,
        "ashapp_readiness_check_duration_secondscache": 2.0,
        "ashapp_readiness_check_duration_secondsdatabase": 0.3,
    }
    assert expected.items() <= samples(service).items()
    none = samples(Service())
    assert none["ashapp_workers"] == none["ashapp_ready_workers"] == none["http_server_active_requests"] == 0


@pytest.mark.parametrize("is_known", [True, False])
def test_the_build_is_told_and_a_version_that_is_not_known_costs_no_metric(
    monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    def refuse(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    versions = [metadata.version(name) if is_known else "unknown" for name in ("flask", "uvicorn")]
    if not is_known:
        monkeypatch.setattr("ashapp.server.management.gauges.metadata.version", refuse)
    gauges._version.cache_clear()
    try:
        found = samples(Service())
    finally:
        gauges._version.cache_clear()
    flask, uvicorn = versions
    known = f"{flask}{platform.python_version()}{uvicorn}{ashapp.__version__}"
    assert found[f"ashapp_build_info{known}"] == 1


def test_a_collector_of_the_application_that_fails_takes_nothing_of_ours_along(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing(Collector):
        def collect(self) -> Iterable[Metric]:
            raise LookupError("oops")

        def describe(self) -> Iterable[Metric]:
            return []

    service, failing = Service(), Failing()
    Counter("jobs", "Jobs.", registry=service.registry)
    REGISTRY.register(failing)
    try:
        found = samples(service)
    finally:
        REGISTRY.unregister(failing)
    assert (found["jobs_total"], found["ashapp_workers"], "python_info" in found) == (0, 0, False)
    assert caplog.messages == ["The metrics of the application can't be collected"]
