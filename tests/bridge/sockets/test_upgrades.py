# SPDX-License-Identifier: MIT
"""Requests that ask for another protocol, on uvicorn as it is: with httptools, it sees no body of theirs."""

import pytest

from ashapp.bridge import WsgiToAsgi
from ashapp.bridge.messages.types import Environ, StartResponse
from tests.support.client import Connection
from tests.support.server import serving

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
HEAD = b"POST /asked HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize("is_rejected", [False, True])
def test_nothing_behind_an_upgrade_is_served(http: str, *, is_rejected: bool) -> None:
    paths = []

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        paths.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    bridge = WsgiToAsgi(app)
    if is_rejected:
        bridge.limit_body = 1
    with serving(bridge, http=http, lifespan="off") as address:
        with Connection(address) as connection:
            connection.send(HEAD + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED))
            connection.send(SMUGGLED)
            response = connection.receive()
            assert response.status == (413 if is_rejected else 200)
            assert response.head.one("connection") == "close"
            assert connection.is_closed()
        with Connection(address) as connection:
            assert connection.request("GET", "/other").head.one("connection") is None
    assert "/smuggled" not in paths
