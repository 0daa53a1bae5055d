# SPDX-License-Identifier: MIT
"""The request that opens a WebSocket, made of its scope."""

from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request

from ashapp.bridge.messages.environ import build_environ, environ_template
from ashapp.bridge.messages.types import Environ, Scope
from ashapp.bridge.websocket.handshake import as_request

_HTTP_1 = [
    (b"host", b"example.org"),
    (b"connection", b"keep-alive, Upgrade"),
    (b"upgrade", b"WebSocket"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-extensions", b"permessage-deflate"),
    (b"sec-websocket-protocol", b"a, b"),
    (b"cookie", b"a=1"),
]


def environ(**changes: Any) -> Environ:
    scope: Scope = {
        "type": "websocket",
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/chat",
        "raw_path": b"/chat",
        "query_string": b"x=1",
        "root_path": "",
        "headers": _HTTP_1,
        "server": ("::1", 8000),
        "client": ("10.0.0.1", 4000),
        "subprotocols": ["a", "b"],
        **changes,
    }
    template = environ_template({}, multithread=True, multiprocess=True)
    return build_environ(as_request(scope), None, template, 100)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"http_version": "2", "headers": [(b"host", b"example.org"), (b"cookie", b"a=1")]},  # RFC 8441
    ],
    ids=["HTTP/1.1", "HTTP/2"],
)
def test_a_library_that_does_the_handshake_itself_takes_it(changes: dict[str, Any]) -> None:
    made = environ(**changes)
    fields = {
        key.removeprefix("HTTP_").replace("_", "-"): value
        for key, value in made.items()
        if key.startswith("HTTP_")
    }
    assert "SEC-WEBSOCKET-EXTENSIONS" not in fields
    assert (made["REQUEST_METHOD"], made["SERVER_PROTOCOL"], made["HTTP_COOKIE"]) == (
        "GET",
        "HTTP/1.1",
        "a=1",
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    library = WSConnection(ConnectionType.SERVER)
    library.receive_data(f"GET /chat HTTP/1.1\r\n{head}\r\n".encode())
    (event,) = library.events()
    assert isinstance(event, Request)
    assert (event.host, event.subprotocols, event.extensions) == ("example.org", ["a", "b"], [])


@pytest.mark.parametrize(
    ("changes", "key", "value"),
    [
        ({}, "wsgi.url_scheme", "http"),
        ({"scheme": "wss"}, "wsgi.url_scheme", "https"),
        ({"scheme": "wss"}, "HTTPS", "on"),
        ({}, "HTTP_SEC_WEBSOCKET_KEY", "dGhlIHNhbXBsZSBub25jZQ=="),
        ({"headers": []}, "HTTP_HOST", "[::1]:8000"),
        ({"headers": [], "server": ("/run/s.sock", None)}, "HTTP_HOST", "localhost"),
        ({"headers": [], "subprotocols": []}, "HTTP_SEC_WEBSOCKET_PROTOCOL", None),
        ({"headers": [], "server": None}, "HTTP_HOST", None),
    ],
)
def test_an_entry(changes: dict[str, Any], key: str, value: str | None) -> None:
    assert environ(**changes).get(key) == value
