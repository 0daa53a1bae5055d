# SPDX-License-Identifier: MIT
"""Requests that a client sends before it has the response to the one that is being served."""

import pytest

from tests.server.protocols.conftest import Application, ServeLimited
from tests.server.protocols.test_refusals import CHUNKED, HEAD, POST, assert_refused
from tests.support.client import Connection
from tests.support.server import Combination
from tests.support.waiting import until

GET = b"GET /%s HTTP/1.1\r\nHost: shop\r\n\r\n"


@pytest.mark.parametrize("before", [b"", GET % b"unread"], ids=["served", "after its turn"])
def test_a_request_learns_that_the_client_has_gone(
    serve: ServeLimited, app: Application, before: bytes
) -> None:
    with Connection(serve()) as connection:
        connection.send(before + GET % b"silent" + GET % b"unread")
        until(lambda: len(app.headers) == (2 if before else 1))
    until(lambda: app.ends == ["disconnected"])


def test_earlier_requests_on_the_connection_are_answered_first(serve: ServeLimited, app: Application) -> None:
    with Connection(serve()) as connection:
        connection.send_request("GET", "/late")
        connection.send(HEAD + b"\r\n" + HEAD + b"A: b\x00\r\n\r\n" + HEAD + b"\r\n")
        assert connection.receive().body == b"0"
        assert connection.receive().body == b"0"
        assert_refused(connection, 400)
    assert app.ends == ["complete"] * 2


def test_a_body_that_is_wrong_waits_for_its_turn(serve: ServeLimited, app: Application) -> None:
    with Connection(serve()) as connection:
        connection.send_request("GET", "/late")
        connection.send(CHUNKED + b"no chunk\r\n" + HEAD)
        assert connection.receive().body == b"0"
        assert_refused(connection, 400)
    assert app.ends[0] == "complete"


def test_so_many_pipelined_requests_wait_and_no_more(
    serve: ServeLimited, app: Application, combination: Combination
) -> None:
    with Connection(serve()) as connection:
        connection.send_request("GET", "/late")
        connection.send((HEAD + b"\r\n") * 150)
        served = 150 if combination[0] == "h11" else 100
        assert [connection.receive().status for _ in range(1 + served)] == [200] * (1 + served)
        if served < 150:
            assert "More than 100 requests wait" in assert_refused(connection, 503)


def test_bodies_and_pipelined_requests_do_not_count_as_heads(serve: ServeLimited) -> None:
    with Connection(serve(head=500)) as connection:
        body = bytes(100_000)
        post = POST + b"Content-Length: 100000\r\n\r\n" + body
        get = HEAD + b"A: " + b"x" * 300 + b"\r\n\r\n"
        connection.send(post + get * 50 + post + get[:100])
        connection.send(get[100:])
        bodies = [connection.receive().body for _ in range(53)]
        assert bodies == [b"100000", *[b"0"] * 50, b"100000", b"0"]


@pytest.mark.parametrize(
    "last", [b"GET /late HTTP/1.0\r\n\r\n", b"GET /late HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"]
)
@pytest.mark.parametrize("parts", [1, 2], ids=["at once", "later"])
def test_what_follows_the_last_request_of_a_connection_is_not_read(
    serve: ServeLimited, app: Application, last: bytes, parts: int
) -> None:
    """RFC 9112, 9.6: no further request is processed, and the last one is answered."""
    with Connection(serve()) as connection:
        if parts == 1:
            connection.send(last + HEAD + b"\r\n")
        else:
            connection.send(last)
            until(lambda: app.paths == ["/late"])
            for _ in range(3):
                connection.send(HEAD + b"\r\n")
        assert connection.receive().body == b"0"
    assert app.paths == ["/late"]
