# SPDX-License-Identifier: MIT
"""From an ASGI HTTP scope to a WSGI environ (PEP 3333, "environ Variables"). No I/O."""

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.file_wrapper import file_wrapper
from ashapp.bridge.messages.headers import add_request_headers
from ashapp.bridge.messages.paths import split_path
from ashapp.bridge.messages.types import Environ, Scope

__all__ = [
    "ENVIRON_EXTENSION",
    "Template",
    "body_is_announced",
    "build_environ",
    "environ_template",
    "expects_continue",
]

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_PROTOCOLS = {"1.0": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2.0", "3": "HTTP/3.0"}
_UNFRAMED_PROTOCOLS = {"HTTP/2.0", "HTTP/3.0"}

#: An extension of the scope: a mapping of entries for the environ.
ENVIRON_EXTENSION = "wsgi.environ"

Template = Callable[[str, int | None, str | None, str], Environ]

# What each request has of its own.
_OF_EACH_REQUEST = (
    *("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "REQUEST_URI", "RAW_URI", "REMOTE_ADDR"),
    *("wsgi.input", "wsgi.errors", "asgi.scope"),
)


def environ_template(entries: Mapping[str, Any], *, multithread: bool, multiprocess: bool) -> Template:
    """Return a function of a server that returns an environ to copy, with *entries*, and room for the rest.

    *multithread* and *multiprocess* tell the application whether it may be entered by another
    thread, or another process, at the same time.
    """

    @lru_cache(maxsize=64)
    def template(host: str, port: int | None, scheme: str | None, version: str) -> Environ:
        scheme = scheme or "http"
        environ = {
            # A dict that grows takes more time.
            **dict.fromkeys(_OF_EACH_REQUEST),
            **entries,
            "SERVER_SOFTWARE": "ashapp",
            # A Unix socket has a path for a host, and no port.
            "SERVER_NAME": "localhost" if port is None else host,
            "SERVER_PORT": _DEFAULT_PORTS.get(scheme, "80") if port is None else str(port),
            "SERVER_PROTOCOL": _PROTOCOLS.get(version) or f"HTTP/{version}",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": scheme,
            "wsgi.multithread": multithread,
            "wsgi.multiprocess": multiprocess,
            "wsgi.run_once": False,
            # The bridge ends the stream where the body ends, so a chunked upload can be read to its end.
            "wsgi.input_terminated": True,
            "wsgi.file_wrapper": file_wrapper,
        }
        return {**environ, "HTTPS": "on"} if scheme == "https" else environ

    return template


def build_environ(scope: Scope, body: Any, template: Template, duplicate_header_limit: int | None) -> Environ:
    """Return the environ of the HTTP *scope*, with *body* as ``wsgi.input``.

    *template* is what ``environ_template`` has returned.

    Text is latin-1 over the client's bytes, as PEP 3333 says ("Unicode Issues"): a path or a
    query that is not UTF-8 passes through byte for byte.

    A transport within the process, such as that of a test client, may set keys that have no place in a scope,
    by the extension ``wsgi.environ``: its entries take precedence. No server has that extension.

    Raises:
        RequestRejected: the headers contradict each other; see ``add_request_headers``.
    """
    script_name, path_info, uri = split_path(scope)
    query = scope.get("query_string", b"").decode("latin-1")
    if query:
        uri = f"{uri}?{query}"
    client = scope.get("client")
    host, port = scope.get("server") or ("localhost", None)
    environ = template(host, port, scope.get("scheme"), scope["http_version"]).copy()
    environ["REQUEST_METHOD"] = scope["method"]
    environ["SCRIPT_NAME"] = script_name
    environ["PATH_INFO"] = path_info
    environ["QUERY_STRING"] = query
    environ["REQUEST_URI"] = environ["RAW_URI"] = uri
    environ["REMOTE_ADDR"] = client[0] if client else ""
    environ["wsgi.input"] = body
    environ["wsgi.errors"] = sys.stderr
    environ["asgi.scope"] = scope
    if client:
        environ["REMOTE_PORT"] = str(client[1])
    add_request_headers(environ, scope.get("headers", ()), duplicate_header_limit)
    if (extensions := scope.get("extensions")) and ENVIRON_EXTENSION in extensions:
        environ |= extensions[ENVIRON_EXTENSION]
    return environ


def body_is_announced(environ: Environ) -> bool:
    """Say whether the request has a body by its head (RFC 9112, 6.3).

    HTTP/2 and 3 need not announce one: there, only a method that has no use for it says no.

    Raises:
        RequestRejected: its transfer coding is not understood: 501 (RFC 9112, 6.1).
    """
    length = environ.get("CONTENT_LENGTH")
    if length is not None:
        return bool(length.strip("0"))
    if environ["SERVER_PROTOCOL"] in _UNFRAMED_PROTOCOLS:
        return environ["REQUEST_METHOD"] not in {"GET", "HEAD", "OPTIONS", "TRACE"}
    coding = environ.get("HTTP_TRANSFER_ENCODING")
    # A server decodes only this one; some pass other codings on as they are.
    if coding is not None and coding.strip(" \t").lower() != "chunked":
        raise RequestRejected(501, f"Transfer-Encoding is {coding[:40]!r}: 'chunked' alone is understood.")
    return coding is not None


def expects_continue(environ: Environ) -> bool:
    """Say whether the client sends the body only after ``100 Continue`` (RFC 9110, 10.1.1)."""
    return "100-continue" in environ.get("HTTP_EXPECT", "").lower()
