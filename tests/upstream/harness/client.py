# SPDX-License-Identifier: MIT
"""Werkzeug's test client, and how it calls an application."""

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import werkzeug.test
from werkzeug.datastructures import Headers

__all__ = ["ClientResponse", "RunWsgiApp", "make_requests_by"]

# An iterable of the body, the status line, and the headers.
ClientResponse = tuple[Iterable[bytes], str, Headers]
RunWsgiApp = Callable[..., ClientResponse]


def make_requests_by(run_wsgi_app: RunWsgiApp) -> None:
    """Let ``werkzeug.test.Client`` call applications by *run_wsgi_app* (its signature is Werkzeug's).

    Only the client: ``Response.force_type`` and ``from_app`` use the function of the same name to
    evaluate a WSGI callable inside of a request, which is none of a server's business.
    """
    method: Any = werkzeug.test.Client.run_wsgi_app
    namespace = {**vars(werkzeug.test), "run_wsgi_app": run_wsgi_app}
    rebound = FunctionType(
        method.__code__, namespace, method.__name__, method.__defaults__, method.__closure__
    )
    setattr(werkzeug.test.Client, "run_wsgi_app", rebound)  # noqa: B010 - a method, replaced on purpose
