# SPDX-License-Identifier: MIT
"""The pages of the management port: ``/metrics``, and ``/livez`` and ``/readyz`` with reasons."""

import functools
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from prometheus_client import CollectorRegistry, make_wsgi_app

from ashapp.bridge.messages.types import Environ, StartResponse, WsgiApplication
from ashapp.server.management.answers import FAULTS, Page, problem_page
from ashapp.server.management.gauges import Gauges
from ashapp.server.worker_status.workers import Workers

__all__ = ["ManagementPages"]

_PATHS = ["/", "/livez", "/metrics", "/readyz"]


class ManagementPages:
    """A WSGI application about *workers*.

    A worker whose loop has given no sign of life for *stalled* seconds counts as stalled.
    """

    def __init__(self, workers: Workers, stalled: float) -> None:
        self._workers = workers
        self._stalled = stalled
        self._paths = _PATHS
        self._fault_page: Callable[[Environ], Page] | None = None
        if workers.faults is not None:
            from ashapp.server.management.fault_pages import fault_page  # noqa: PLC0415 - for those who use it

            self._paths = sorted([*_PATHS, FAULTS])
            self._fault_page = functools.partial(fault_page, workers, workers.faults)
        #: The metrics of the service, and those of the application in prometheus-client.
        self.registry = CollectorRegistry()
        self.registry.register(Gauges(workers))
        self.registry.register(workers)
        self._metrics: WsgiApplication = make_wsgi_app(self.registry)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        path, method = environ["PATH_INFO"] or "/", environ["REQUEST_METHOD"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        if self._fault_page is not None and f"{path}/".startswith(f"{FAULTS}/"):
            page = self._fault_page(environ)
        elif path not in self._paths:
            page = problem_page(HTTPStatus.NOT_FOUND, f"There are only {', '.join(self._paths)}.")
        elif method not in {"GET", "HEAD"}:
            page = problem_page(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET or HEAD.", ("Allow", "GET, HEAD"))
        else:
            page = self._page(path)
        return page.answer(environ, start_response)

    def _page(self, path: str) -> Page:
        statuses = self._workers.statuses()
        if path == "/":
            return Page(HTTPStatus.OK, {"paths": self._paths})
        if path == "/livez":
            stalled = [status.pid for status in statuses if status.age > self._stalled]
            is_good = not stalled
            content: dict[str, Any] = {"stalled_workers": stalled}
        else:
            workers = [status.told(self._stalled) for status in statuses]
            is_good = any(worker["ready"] for worker in workers)
            content = {"workers": workers}
        if is_good:
            return Page(HTTPStatus.OK, {"status": "ok", **content})
        return Page(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", **content})
