# SPDX-License-Identifier: MIT
"""What the management port answers: metrics for a scraper, and JSON for those who want to know why."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app

from ashapp.bridge.messages.types import Environ, StartResponse, WsgiApplication
from ashapp.server.health.readiness_runner import Outcome
from ashapp.server.management.gauges import Gauges
from ashapp.server.management.workers import Workers, WorkerStatus

__all__ = ["ManagementPages"]

_Page = tuple[HTTPStatus, dict[str, Any]]


class ManagementPages:
    """A WSGI application about *workers*.

    A worker whose loop has given no sign of life for *stalled* seconds is told to be stalled.
    """

    def __init__(self, workers: Workers, stalled: float) -> None:
        self._workers = workers
        self._stalled = stalled
        registry = CollectorRegistry()
        registry.register(Gauges(workers))
        registry.register(workers)
        self._metrics: WsgiApplication = make_wsgi_app(registry)
        self._pages: dict[str, Callable[[], _Page]] = {
            "/": self._index,
            "/livez": self._liveness,
            "/readyz": self._readiness,
        }

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        path, method = environ["PATH_INFO"] or "/", environ["REQUEST_METHOD"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        page = self._pages.get(path)
        if page is None:
            status, content = _problem(HTTPStatus.NOT_FOUND, f"There are only {', '.join(self._paths())}.")
        elif method not in {"GET", "HEAD"}:
            status, content = _problem(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET or HEAD.")
        else:
            status, content = page()
        return _answer(start_response, status, content, has_body=method != "HEAD")

    def _paths(self) -> list[str]:
        return sorted([*self._pages, "/metrics"])

    def _index(self) -> _Page:
        return HTTPStatus.OK, {"paths": self._paths()}

    def _liveness(self) -> _Page:
        stalled = [status.pid for status in self._workers.statuses() if self._is_stalled(status)]
        return _page(not stalled, {"stalled_workers": stalled})

    def _readiness(self) -> _Page:
        workers = [self._worker(status) for status in self._workers.statuses()]
        return _page(any(worker["ready"] for worker in workers), {"workers": workers})

    def _is_stalled(self, status: WorkerStatus) -> bool:
        return status.age > self._stalled

    def _worker(self, status: WorkerStatus) -> dict[str, Any]:
        reason = f"no sign of life for {status.age:.1f} s" if self._is_stalled(status) else status.reason
        return {
            "pid": status.pid,
            "ready": reason is None,
            "reason": reason,
            "active_requests": status.active,
            "queued_requests": status.queued,
            "threads": status.threads,
            "busy_threads": status.busy,
            "async_threads": status.async_threads,
            "busy_async_threads": status.busy_async_threads,
            "moved_views": status.moved,
            "checks": [_check(outcome) for outcome in status.checks],
        }


def _check(outcome: Outcome) -> dict[str, Any]:
    ended = datetime.fromtimestamp(outcome.time, UTC).isoformat(timespec="milliseconds")
    return {**asdict(outcome), "ok": outcome.error is None, "time": ended, "age": time.time() - outcome.time}


def _page(is_good: bool, content: dict[str, Any]) -> _Page:  # noqa: FBT001 - what the page is about
    if is_good:
        return HTTPStatus.OK, {"status": "ok", **content}
    return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", **content}


def _problem(status: HTTPStatus, detail: str) -> _Page:
    """Return problem details (RFC 9457)."""
    return status, {"title": status.phrase, "status": int(status), "detail": detail}


def _answer(
    start_response: StartResponse, status: HTTPStatus, content: dict[str, Any], *, has_body: bool
) -> list[bytes]:
    body = json.dumps(content, indent=2).encode() + b"\n"
    kind = "application/problem+json" if "detail" in content else "application/json"
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    start_response(f"{int(status)} {status.phrase}", headers)
    return [body] if has_body else []
