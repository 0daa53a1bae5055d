# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Flask's request object for an environ, with the attributes that Werkzeug's two constructors give it."""

from operator import itemgetter

from flask.wrappers import Request
from werkzeug.datastructures import EnvironHeaders

from ashapp.bridge.messages.types import Environ

__all__ = ["make_request"]

_entries = itemgetter(
    *("REQUEST_METHOD", "wsgi.url_scheme", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO"),
    *("QUERY_STRING", "REMOTE_ADDR"),
)


def make_request(environ: Environ) -> Request:
    """Return the request object for *environ*; its class is as Flask has it."""
    try:
        method, scheme, name, port, root, path, query, address = _entries(environ)
    except KeyError:
        return Request(environ)
    if name is None or not (path.isascii() and root.isascii() and port.isdecimal() and len(port) < 6):
        return Request(environ)  # more is to be done
    request = Request.__new__(Request)
    # One by one: to set the whole dict takes longer.
    request.method = method.upper()
    request.scheme = scheme
    request.server = name, int(port)
    request.root_path = root.rstrip("/")
    request.path = "/" + path.lstrip("/")
    request.query_string = query.encode("latin-1")
    request.headers = headers = EnvironHeaders.__new__(EnvironHeaders)
    headers._list = []
    headers.environ = environ
    request.remote_addr = address
    request.environ = environ
    request.shallow = False
    environ["werkzeug.request"] = request
    return request
