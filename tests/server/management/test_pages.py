# SPDX-License-Identifier: MIT
import json
import time
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from prometheus_client import Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from ashapp.bridge.concurrency.thread_pool import ThreadPool
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.health.state import Health
from ashapp.server.management.pages import ManagementPages
from ashapp.server.management.status_reporter import StatusReporter
from ashapp.server.management.workers import LocalWorker, WorkerStatus


class Service(LocalWorker):
    """The workers that a test says there are."""

    def __init__(self, *statuses: WorkerStatus) -> None:
        super().__init__()
        self._statuses = list(statuses)

    def statuses(self) -> list[WorkerStatus]:
        return self._statuses


class Answer:
    """What the pages about a service answer."""

    def __init__(self, service: LocalWorker, path: str, method: str = "GET", **entries: str) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            **entries,
        }
        setup_testing_defaults(environ)
        self.status = ""
        self.headers: dict[str, str] = {}
        iterable = validator(ManagementPages(service, stalled=5))(environ, self._start)
        self.body = b"".join(iterable)
        iterable.close()  # type: ignore[attr-defined]

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda data: None

    @property
    def content(self) -> Any:
        return json.loads(self.body)


def worker(pid: int, reason: str | None = None, age: float = -60.0, *checks: Outcome) -> WorkerStatus:
    """Return the status of a worker seen *age* seconds ago; by default a test that is late sees no stall."""
    moved = {"slow": "it has blocked the event loop"}
    return WorkerStatus(pid, time.monotonic() - age, reason, 4, 3, 2, 1, list(checks), 0, moved, 1000, 7)


def test_the_pages_are_listed() -> None:
    answer = Answer(Service(), "/")
    assert answer.status == "200 OK"
    assert answer.content == {"paths": ["/", "/livez", "/metrics", "/readyz"]}


def test_a_service_is_ready_if_one_of_its_workers_is() -> None:
    answer = Answer(Service(worker(7), worker(8, "draining")), "/readyz")
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
    assert Answer(Service(), "/readyz").status == "503 Service Unavailable"
    answer = Answer(Service(worker(8, "draining")), "/readyz")
    assert answer.status == "503 Service Unavailable"
    assert answer.content["status"] == "unavailable"


def test_checks_are_told_in_detail() -> None:
    ended = time.time() - 60
    checks = Outcome("database", "OSError: gone", 2.0, ended), Outcome("cache", None, 0.1, 1_700_000_000.5)
    (database, cache) = Answer(Service(worker(7, None, -60, *checks)), "/readyz").content["workers"][0][
        "checks"
    ]
    assert 60 <= database.pop("age") < 120
    assert database.pop("time") > "2023"
    assert database == {"name": "database", "ok": False, "error": "OSError: gone", "duration": 2.0}
    assert (cache["ok"], cache["error"], cache["time"]) == (True, None, "2023-11-14T22:13:20.500+00:00")


def test_a_worker_without_a_sign_of_life_is_neither_alive_nor_ready() -> None:
    service = Service(worker(7), worker(8, age=60))
    answer = Answer(service, "/livez")
    assert answer.status == "503 Service Unavailable"
    assert answer.content == {"status": "unavailable", "stalled_workers": [8]}
    stalled = Answer(service, "/readyz").content["workers"][1]
    assert not stalled["ready"]
    assert stalled["reason"].startswith("no sign of life for 60.")


@pytest.mark.parametrize("pids", [[], [7, 8]])
def test_a_service_is_alive_as_long_as_no_worker_is_stalled(pids: list[int]) -> None:
    answer = Answer(Service(*(worker(pid, "draining") for pid in pids)), "/livez")
    assert answer.status == "200 OK"
    assert answer.content == {"status": "ok", "stalled_workers": []}


@pytest.mark.parametrize(
    ("path", "method", "status", "detail"),
    [
        ("/nosuch", "GET", 404, "There are only /, /livez, /metrics, /readyz."),
        ("/nosuch", "POST", 404, "There are only /, /livez, /metrics, /readyz."),
        ("/readyz", "POST", 405, "Use GET or HEAD."),
    ],
)
def test_what_is_not_there_is_a_problem(path: str, method: str, status: int, detail: str) -> None:
    answer = Answer(Service(), path, method)
    assert answer.status.startswith(f"{status} ")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers.get("Allow") == ("GET, HEAD" if status == 405 else None)
    assert (answer.content["status"], answer.content["detail"]) == (status, detail)


def test_head_has_no_body() -> None:
    answer = Answer(Service(), "/livez", "HEAD")
    assert answer.status == "200 OK"
    assert int(answer.headers["Content-Length"]) > 0
    assert answer.body == b""


@pytest.mark.parametrize(
    ("accept", "kind", "parse"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", parse_prometheus),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", parse_openmetrics),
    ],
)
def test_metrics_are_in_the_format_that_is_asked_for(accept: str, kind: str, parse: Any) -> None:
    service = LocalWorker()
    StatusReporter(service, Health(), ThreadPool(1))
    Counter("jobs", "Jobs.", ["kind"], registry=service.registry).labels("a").inc(3)
    answer = Answer(service, "/metrics", HTTP_ACCEPT=accept)
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
