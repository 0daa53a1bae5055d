# SPDX-License-Identifier: MIT
"""nginx with the headers for WebSockets that its documentation has: what it keeps closed stays closed."""

from contextlib import suppress
from pathlib import Path

import pytest

from ashapp.server.protocols import ConnectionLimits, limited_protocol
from tests.server.protocols.test_same_as_h11 import Recorder
from tests.support.client import Connection, chunk
from tests.support.nginx import needs_nginx, nginx
from tests.support.server import serving

DIRECTIVES = """
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_request_buffering off;
"""

CLOSED = b"GET /closed HTTP/1.1\r\nHost: shop\r\n\r\n"
WITH_LENGTH = b"Content-Length: %d\r\n\r\n%s" % (len(CLOSED), CLOSED)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%s%s" % (chunk(CLOSED), chunk())
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@needs_nginx
@pytest.mark.parametrize("ws", ["none", "websockets-sansio"])
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_no_body_is_taken_for_requests(tmp_path: Path, http: str, ws: str) -> None:
    app = Recorder()
    heads = [
        b"%s /%d HTTP/1.1\r\nHost: shop\r\nConnection: close, Upgrade\r\nUpgrade: %s\r\n%s%s"
        % (method, number, token, more, framed)
        for number, more in enumerate([b"", KEY])
        for method in (b"POST", b"GET")
        for token in (b"h2c", b"websocket", b"TLS/1.0, websocket")
        for framed in (WITH_LENGTH, IN_CHUNKS)
    ]
    protocol = limited_protocol(http, ConnectionLimits())
    with (
        serving(app, http=protocol, ws=ws, lifespan="off") as address,
        nginx(tmp_path, [address], DIRECTIVES) as proxy,
    ):
        for head in heads:
            with Connection(proxy) as connection, suppress(ConnectionError):
                connection.send(head)
                assert connection.receive().status in {200, 400, 403}
                connection.wait_for_close(10)
    assert {body for _, _, body in app.messages} == {CLOSED}
    assert {path for _, path, _ in app.messages} == {"/0", "/1"}
    assert len(app.messages) >= len(heads) - 2
