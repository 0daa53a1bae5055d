# SPDX-License-Identifier: MIT
"""Requests that ask for another protocol: what is not taken changes nothing, what is taken comes alone."""

import gc
from contextlib import ExitStack
from typing import Any

import pytest

from ashapp.server.protocols import ConnectionLimits, limited_protocol
from ashapp.server.protocols.connection import LimitedProtocol
from tests.server.protocols.conftest import Application, ServeLimited
from tests.server.protocols.test_refusals import assert_refused
from tests.support.client import Connection, chunk
from tests.support.server import Combination, serving
from tests.support.waiting import until

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
WITH_LENGTH = b"Content-Length: %d\r\n\r\n%s" % (len(SMUGGLED), SMUGGLED)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n\r\n%s%s" % (chunk(SMUGGLED), chunk())

UPGRADE = b" / HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
HANDSHAKE = b"GET" + UPGRADE + b"Upgrade: websocket\r\n" + KEY


class Refusing(Application):
    """Closes each WebSocket before it opens."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            self.ends.append("websocket")
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": ""})
        else:
            await super().__call__(scope, receive, send)


@pytest.mark.parametrize("ws", ["none", "websockets-sansio"])
@pytest.mark.parametrize(
    "head",
    [
        b"POST" + UPGRADE + b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"GET" + UPGRADE + b"Upgrade: TLS/1.0\r\n",
        b"POST" + UPGRADE + b"Upgrade: websocket\r\n" + KEY,
        b"GET" + UPGRADE + b"Upgrade: websocket\r\n",
        b"GET" + UPGRADE + b"Upgrade: h2c, websocket\r\n" + KEY,
        b"GET" + UPGRADE + b"Upgrade: h2c\r\nUpgrade: websocket\r\n" + KEY,
        b"GET http://shop" + UPGRADE[1:] + b"Upgrade: h2c\r\n",
    ],
    ids=["h2c", "TLS", "POST", "no key", "list", "two", "absolute form"],
)
def test_an_upgrade_that_is_not_taken_changes_nothing(
    serve: ServeLimited, app: Application, head: bytes, ws: str
) -> None:
    address = serve(ws=ws)
    for framed in (WITH_LENGTH, IN_CHUNKS):
        for pieces in ([head + framed], [head, framed], [head + framed[:30], framed[30:]]):
            with Connection(address) as connection:
                for piece in pieces:
                    connection.send(piece)
                assert connection.receive().body == b"%d" % len(SMUGGLED)
                assert connection.request("GET", "/unread").body == b"unread"
    assert [name for name, _ in app.headers[0]].count(b"upgrade") == head.count(b"Upgrade: ")
    assert app.ends == ["complete"] * 6


def test_a_handshake_is_a_request_like_others_where_no_websocket_is_taken_and_in_http_1_0(
    serve: ServeLimited,
) -> None:
    with Connection(serve(ws="none")) as connection:
        connection.send(HANDSHAKE + WITH_LENGTH + HANDSHAKE + b"\r\n")
        assert connection.receive().body == b"%d" % len(SMUGGLED)
        assert connection.receive().body == b"0"
    with Connection(serve(ws="websockets-sansio")) as connection:
        connection.send(HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n")
        assert connection.receive().body == b"0"


def test_nothing_that_follows_a_handshake_is_a_request(serve: ServeLimited) -> None:
    app = Refusing()
    address = serve(app, ws="websockets-sansio")
    with Connection(address) as connection:
        connection.send(HANDSHAKE + b"\r\n")
        assert connection.receive().status == 403
        assert connection.is_closed()
    for body in (WITH_LENGTH, IN_CHUNKS):
        for pieces in ([HANDSHAKE + body], [HANDSHAKE + body[:30], body[30:]]):
            with Connection(address) as connection:
                for piece in pieces:
                    connection.send(piece)
                assert_refused(connection, 400)
    with Connection(address) as connection:
        connection.send(HANDSHAKE + b"\r\n" + SMUGGLED)
        assert_refused(connection, 400)
    with Connection(address) as connection:
        connection.send(HANDSHAKE + b"Content-Length: 0\r\n\r\n")
        assert connection.receive().status == 403
    assert app.ends == ["websocket"] * 2
    # Parsed in turns, the first piece is the handshake alone.
    padded = HANDSHAKE + b"A: %s\r\n\r\n" % (b"x" * (512 - len(HANDSHAKE) - 7))
    with Connection(address) as connection:
        connection.send(padded + SMUGGLED * 30)
        assert connection.is_closed()
    assert app.headers == []


def test_a_handshake_has_one_key_and_the_version_that_is_served(serve: ServeLimited) -> None:
    app = Refusing()
    address = serve(app, ws="websockets-sansio")
    key = KEY.partition(b"Sec-WebSocket-Version")[0]
    for old, new in ((key, b""), (key, key * 2), (b"ZQ==", b"ZQ")):
        with Connection(address) as connection:
            connection.send(HANDSHAKE.replace(old, new) + b"\r\n")
            assert_refused(connection, 400)
    for version in (b"12", b"13\r\nSec-WebSocket-Version: 8", b""):
        with Connection(address) as connection:
            connection.send(HANDSHAKE.replace(b"Version: 13", b"Version: " + version) + b"\r\n")
            head = connection.receive().head
            assert (head.status, head.one("sec-websocket-version")) == (426, "13")
            assert connection.is_closed()
    assert app.ends == []


@pytest.mark.parametrize("behind", [b"", SMUGGLED], ids=["alone", "with a request behind"])
def test_a_handshake_does_not_overtake_the_requests_before_it(serve: ServeLimited, behind: bytes) -> None:
    app = Refusing()
    with Connection(serve(app, ws="websockets-sansio")) as connection:
        connection.send_request("GET", "/late")
        connection.send(HANDSHAKE + b"\r\n" + behind)
        assert connection.receive().body == b"0"
        assert connection.receive().status in {400, 403}
        assert connection.is_closed()
    assert app.ends[0] == "complete"
    assert len(app.headers) == 1


@pytest.mark.parametrize(
    "wrong", [HANDSHAKE + b"\r\n" + SMUGGLED, b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n"]
)
def test_a_refused_connection_may_be_open_when_the_server_stops(
    combination: Combination, wrong: bytes
) -> None:
    http, loop = combination
    config = {"http": limited_protocol(http, ConnectionLimits()), "loop": loop, "ws": "websockets-sansio"}
    with ExitStack() as stack:
        with serving(Refusing(), lifespan="off", **config) as address:
            connection = stack.enter_context(Connection(address))
            connection.send(wrong)
            assert connection.receive().status in {400, 501}
        assert connection.is_closed()


@pytest.mark.parametrize("target", [b"shop:443", b"/", b"http://shop/"])
def test_there_is_no_tunnel(serve: ServeLimited, app: Application, target: bytes) -> None:
    with Connection(serve()) as connection:
        connection.send(b"CONNECT %s HTTP/1.1\r\nHost: shop:443\r\n" % target + WITH_LENGTH + SMUGGLED)
        assert_refused(connection, 501)
    assert app.headers == []


def connections() -> dict[int, object]:
    return {id(found): found for found in gc.get_objects() if issubclass(type(found), LimitedProtocol)}


def test_a_connection_that_has_become_a_websocket_is_freed_at_its_end(combination: Combination) -> None:
    """At once, not when the garbage collector runs."""
    http, loop = combination
    protocol = limited_protocol(http, ConnectionLimits())
    gc.collect()
    gc.disable()
    try:
        before = connections()
        with serving(Refusing(), lifespan="off", http=protocol, loop=loop, ws="websockets-sansio") as address:
            with Connection(address) as connection:
                connection.send(HANDSHAKE + b"\r\n")
                assert connection.receive().status == 403
                assert connection.is_closed()
            until(lambda: connections().keys() == before.keys())
    finally:
        gc.enable()
