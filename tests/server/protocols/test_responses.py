# SPDX-License-Identifier: MIT
"""Responses: no field twice, and no framing that a client of HTTP/1.0 does not know."""

from typing import Any

import pytest

from tests.server.protocols.conftest import ServeLimited, on_each_loop
from tests.support.client import Connection, fetch


def test_no_response_has_a_field_twice(serve: ServeLimited) -> None:
    own = [(b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"), (b"server", b"shop"), (b"content-length", b"0")]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        fields = own if scope["path"] == "/own" else own[2:]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    address = serve(app)
    head = fetch(address, "/own").head
    assert head.one("date") == "Sun, 06 Nov 1994 08:49:37 GMT"
    assert head.one("server") == "shop"
    head = fetch(address, "/other").head
    assert head.one("date") not in {None, "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert head.one("server") == "uvicorn"


@pytest.mark.parametrize("field", [(b"x y", b"1"), (b"x", b"1\r\ny: 2"), (b"x\n", b"1")])
def test_a_field_that_would_be_two_is_not_sent(serve: ServeLimited, field: tuple[bytes, bytes]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-first", b"1"), field]})

    with Connection(serve(app)) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert connection.is_closed()


OLD = b"%s / HTTP/1.0\r\n%s\r\n"


def streaming(*fields: tuple[bytes, bytes], status: int = 200) -> Any:
    """Return an application that sends a response of two parts, without saying how long it is."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": status, "headers": [*fields]})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})
        await send({"type": "http.response.body", "body": b"two"})

    return app


@pytest.mark.parametrize(
    "field", [None, (b"transfer-encoding", b"chunked"), (b"content-length", b"7")], ids=lambda f: f and f[0]
)
def test_a_stream_to_http_1_0_ends_with_the_connection_and_its_length_is_told_if_known(
    serve: ServeLimited, field: tuple[bytes, bytes] | None
) -> None:
    with Connection(serve(streaming(*([field] if field else [])))) as connection:
        connection.send(OLD % (b"GET", b""))
        response = connection.receive()
        assert response.head.one("transfer-encoding") is None
        assert response.head.one("content-length") == ("7" if field and b"length" in field[0] else None)
        assert response.head.one("connection") in {None, "close"}  # newer uvicorns say it
        assert response.body == b"one two"
        assert connection.is_closed()


@on_each_loop
def test_a_stream_to_http_1_0_that_is_cut_off_does_not_look_complete(serve: ServeLimited) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one ", "more_body": True})

    with Connection(serve(app)) as connection:
        connection.send(OLD % (b"GET", b""))
        with pytest.raises(ConnectionResetError):
            connection.receive()


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
def test_a_response_without_a_body_has_none_for_http_1_0(
    serve: ServeLimited, method: bytes, status: int
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with Connection(serve(app)) as connection:
        connection.send(OLD % (method, b""))
        assert connection.receive(method.decode()).status == status
        assert connection.is_closed()


def test_http_1_0_gets_no_interim_response(serve: ServeLimited) -> None:
    """RFC 9110, 10.1.1."""
    with Connection(serve()) as connection:
        connection.send(OLD % (b"POST", b"Expect: 100-continue\r\nContent-Length: 5\r\n"))
        connection.send(b"hello")
        response = connection.receive()
        assert (response.status, response.body) == (200, b"5")


def test_http_1_0_waits_for_its_turn(serve: ServeLimited) -> None:
    with Connection(serve()) as connection:
        connection.send(b"GET /late HTTP/1.1\r\nHost: shop\r\n\r\nGET /ticks HTTP/1.0\r\n\r\n")
        assert connection.receive().body == b"0"
        assert connection.receive().body == b"." * 20
