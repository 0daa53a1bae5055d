# SPDX-License-Identifier: MIT
"""Flask's request object for an environ, with the attributes that Werkzeug's two constructors give it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask.wrappers import Request
from werkzeug.datastructures import EnvironHeaders

if TYPE_CHECKING:
    from ashapp.bridge.messages.types import Environ

__all__ = ["make_request"]


def make_request(environ: Environ) -> Request:
    """Return the request object for *environ*; its class is as Flask has it."""
    path, root = environ.get("PATH_INFO", ""), environ.get("SCRIPT_NAME", "")
    name, port = environ.get("SERVER_NAME"), environ.get("SERVER_PORT", "")
    if name is None or not (path.isascii() and root.isascii() and port.isdecimal() and len(port) < 6):
        return Request(environ)  # there is more to do
    request = Request.__new__(Request)
    # One by one: an object that is given a dict takes longer.
    request.method = environ.get("REQUEST_METHOD", "GET").upper()
    request.scheme = environ.get("wsgi.url_scheme", "http")
    request.server = name, int(port)
    request.root_path = root.rstrip("/")
    request.path = "/" + path.lstrip("/")
    request.query_string = environ.get("QUERY_STRING", "").encode("latin-1")
    request.headers = EnvironHeaders(environ)
    request.remote_addr = environ.get("REMOTE_ADDR")
    request.environ = environ
    request.shallow = False
    environ["werkzeug.request"] = request
    return request
