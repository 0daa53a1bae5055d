# SPDX-License-Identifier: MIT
"""A WSGI application that tells what environ it got, and its use over a socket."""

import json
from collections.abc import Iterable

from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.adapters import Adapter
from tests.support.client import fetch
from tests.support.server import Serve

__all__ = ["describe", "read_environ"]


def describe(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A WSGI application that answers with the environ, as far as JSON can express it."""
    entries = {name: value for name, value in environ.items() if isinstance(value, str | bool | int)}
    entries["wsgi.file_wrapper"] = callable(environ.get("wsgi.file_wrapper"))
    entries["asgi.scope"] = environ.get("asgi.scope", {}).get("type")
    body = json.dumps(entries).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def read_environ(serve: Serve, adapter: Adapter, target: str = "/", *fields: tuple[str, str]) -> Environ:
    """Return the environ of a GET request as *adapter* makes it."""
    response = fetch(serve(adapter(describe)), target, fields=fields)
    assert response.status == 200, response.body
    environ: Environ = json.loads(response.body)
    return environ
