# SPDX-License-Identifier: MIT
"""What the management port answers: metrics for a scraper, and JSON for those who want to know why."""

import json
import time
from collections.abc import Iterable
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
_PATHS = ["/", "/livez", "/metrics", "/readyz"]


class ManagementPages:
    """A WSGI application about *workers*.

    A worker whose loop has given no sign of life for *stalled* seconds counts as stalled.
    """

    def __init__(self, workers: Workers, stalled: float) -> None:
        self._workers = workers
        self._stalled = stalled
        registry = CollectorRegistry()
        registry.register(Gauges(workers))
        registry.register(workers)
        self._metrics: WsgiApplication = make_wsgi_app(registry)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        path, method = environ["PATH_INFO"] or "/", environ["REQUEST_METHOD"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if path not in _PATHS:
            status, content = _problem(HTTPStatus.NOT_FOUND, f"There are only {', '.join(_PATHS)}.")
        elif method not in {"GET", "HEAD"}:
            status, content = _problem(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET or HEAD.")
        else:
            status, content = self._page(path)
        body = json.dumps(content, indent=2).encode() + b"\n"
        headers = [
            ("Content-Type", "application/problem+json" if "detail" in content else "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            headers.append(("Allow", "GET, HEAD"))
        start_response(f"{int(status)} {status.phrase}", headers)
        return [] if method == "HEAD" else [body]

    def _page(self, path: str) -> _Page:
        statuses = self._workers.statuses()
        if path == "/":
            return HTTPStatus.OK, {"paths": _PATHS}
        if path == "/livez":
            stalled = [status.pid for status in statuses if status.age > self._stalled]
            is_good = not stalled
            content: dict[str, Any] = {"stalled_workers": stalled}
        else:
            workers = [self._worker(status) for status in statuses]
            is_good = any(worker["ready"] for worker in workers)
            content = {"workers": workers}
        if is_good:
            return HTTPStatus.OK, {"status": "ok", **content}
        return HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", **content}

    def _worker(self, status: WorkerStatus) -> dict[str, Any]:
        is_stalled = status.age > self._stalled
        reason = f"no sign of life for {status.age:.1f} s" if is_stalled else status.reason
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
            "websockets": status.websockets,
            "websocket_threads": status.websocket_threads,
            "busy_websocket_threads": status.busy_websocket_threads,
            "moved_views": status.moved,
            "checks": [_check(outcome) for outcome in status.checks],
        }


def _check(outcome: Outcome) -> dict[str, Any]:
    ended = datetime.fromtimestamp(outcome.time, UTC).isoformat(timespec="milliseconds")
    return {**asdict(outcome), "ok": outcome.error is None, "time": ended, "age": time.time() - outcome.time}


def _problem(status: HTTPStatus, detail: str) -> _Page:
    """Return problem details (RFC 9457)."""
    return status, {"title": status.phrase, "status": int(status), "detail": detail}
