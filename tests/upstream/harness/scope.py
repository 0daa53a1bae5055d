# SPDX-License-Identifier: MIT
"""From the environ that a test client makes to the ASGI scope that a server would make of the request."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from ashapp.bridge.messages.environ import ENVIRON_EXTENSION

__all__ = ["make_scope"]

Environ = Mapping[str, Any]

# What the scope says in its own words, or what is the server's to say.
_SAID = {
    "CONTENT_LENGTH", "CONTENT_TYPE", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REMOTE_ADDR", "REMOTE_PORT",
    "REQUEST_METHOD", "REQUEST_URI", "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL",
    "wsgi.input", "wsgi.input_terminated", "wsgi.multiprocess", "wsgi.multithread", "wsgi.run_once",
    "wsgi.url_scheme", "wsgi.version",
}  # fmt: skip


def make_scope(environ: Environ) -> dict[str, Any]:
    """Return the scope (ASGI, "HTTP Connection Scope") of the request that *environ* stands for.

    What a scope can't say (keys of the test's own, ``wsgi.errors``, Flask's
    ``werkzeug.debug.preserve_context``) is put in the extension of which the bridge takes entries.
    """
    script_name = environ.get("SCRIPT_NAME", "").encode("latin-1")
    path = script_name + environ.get("PATH_INFO", "").encode("latin-1")
    address, port = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").removeprefix("HTTP/"),
        "method": environ["REQUEST_METHOD"],
        "scheme": environ["wsgi.url_scheme"],
        "path": path.decode(errors="replace"),
        "raw_path": _raw_path(environ, path),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": script_name.decode(),
        "headers": _headers(environ),
        "client": (address, int(port or 0)) if address else None,
        "server": (environ["SERVER_NAME"], int(environ["SERVER_PORT"])),
        "extensions": {ENVIRON_EXTENSION: {key: environ[key] for key in environ if not _is_said(key)}},
    }


def _is_said(key: str) -> bool:
    return key in _SAID or key.startswith("HTTP_")


def _raw_path(environ: Environ, path: bytes) -> bytes:
    """Return the path as the client would send it: as in REQUEST_URI, unless a test changed the path."""
    sent: bytes = environ.get("REQUEST_URI", "").encode("latin-1").partition(b"?")[0]
    return sent if unquote_to_bytes(sent) == path else quote_from_bytes(path).encode("ascii")


def _headers(environ: Environ) -> list[tuple[bytes, bytes]]:
    headers = []
    for key, value in environ.items():
        if key.startswith("HTTP_") or key in {"CONTENT_LENGTH", "CONTENT_TYPE"}:
            name = key.removeprefix("HTTP_").replace("_", "-").lower()
            headers.append((name.encode("latin-1"), value.encode("latin-1")))
    return headers
