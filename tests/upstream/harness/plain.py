# SPDX-License-Identifier: MIT
"""A pytest plugin that only counts the requests of Werkzeug's test client: the baseline."""

from typing import Any

from werkzeug.test import run_wsgi_app

from .client import ClientResponse, make_requests_by
from .outcomes import count_request


def _run_wsgi_app(app: Any, environ: Any, buffered: bool = False) -> ClientResponse:  # noqa: FBT001, FBT002 - Werkzeug's signature
    count_request()
    return run_wsgi_app(app, environ, buffered)


def pytest_configure() -> None:
    make_requests_by(_run_wsgi_app)
