# SPDX-License-Identifier: MIT
"""Clients that take their time, over sockets."""

import time
from contextlib import suppress

import pytest

from ashapp.server.protocols import limits
from ashapp.server.protocols.connection import LimitedProtocol
from ashapp.server.protocols.delivery import has_arrived
from ashapp.server.protocols.h11_protocol import LimitedH11Protocol
from tests.server.protocols.conftest import Application, ServeLimited, on_each_loop
from tests.server.protocols.test_refusals import CHUNKED, HEAD, POST, assert_refused
from tests.support.client import Connection, TruncatedResponse, chunk, fetch
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def _short_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LINGER", 0.2)


def drip(connection: Connection, data: bytes, pause: float = 0.05) -> int:
    """Send *data* byte by byte until the server has had enough; return how many were sent."""
    sent = 0
    with suppress(ConnectionError):
        for sent in range(len(data)):
            connection.send(data[sent : sent + 1])
            time.sleep(pause)
    return sent


def test_a_head_must_come_in_time_however_lively_the_client_is(serve: ServeLimited, app: Application) -> None:
    address = serve(head_seconds=0.3)
    for begin in (b"", HEAD + b"\r\n"):
        with Connection(address) as connection:
            connection.send(begin)
            if begin:
                connection.receive()
            assert drip(connection, HEAD + b"A: " + b"x" * 1000) < 1000
            assert_refused(connection, 408)
    assert len(app.headers) == 1


def test_a_new_connection_that_says_nothing_is_closed_without_an_answer(serve: ServeLimited) -> None:
    address = serve(head_seconds=0.3)
    with Connection(address) as connection:
        began = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - began >= 0.25  # a loop may take its clock from a little earlier
    with Connection(address) as connection:
        drip(connection, b"\r\n" * 50)
        with suppress(ConnectionError):
            connection.wait_for_close(10)


@pytest.mark.parametrize("pause", [None, 0.1], ids=["nothing", "drops"])
def test_a_body_must_come_in_time(serve: ServeLimited, app: Application, pause: float | None) -> None:
    with Connection(serve(body_seconds=0.5)) as connection:
        connection.send(POST + b"Content-Length: 1000\r\n\r\nbegin")
        if pause:
            assert drip(connection, b"x" * 100, pause) < 100
        assert "0.5 s" in assert_refused(connection, 408)
    until(lambda: app.ends == ["disconnected"])


def test_a_body_may_take_long_as_long_as_it_comes(serve: ServeLimited) -> None:
    with Connection(serve(body_seconds=0.4, body_rate=10)) as connection:
        connection.send(CHUNKED)
        for _ in range(10):
            connection.send(chunk(bytes(100)))
            time.sleep(0.1)
        connection.send(chunk())
        assert connection.receive().body == b"1000"


def test_a_body_may_wait_for_the_application_and_for_a_response_that_has_begun(serve: ServeLimited) -> None:
    address = serve(body_seconds=0.2, head_seconds=0.2, keep_alive=1)
    with Connection(address) as connection:
        connection.send_request("POST", "/late", [("Content-Length", "1000000")])
        connection.send(bytes(1_000_000))
        assert connection.receive().body == b"1000000"
    with Connection(address) as connection:
        connection.send_request("POST", "/late", [("Content-Length", "5"), ("Expect", "100-continue")])
        assert connection.receive_head().status == 100
        connection.send(b"hello")
        assert connection.receive().body == b"5"
    with Connection(address) as connection:
        connection.send(CHUNKED.replace(b"/", b"/early", 1))
        assert connection.receive_head().status == 200
        time.sleep(0.6)
        connection.send(chunk())
        assert b"".join(connection.receive_chunks()) == b"begunended"


def test_an_idle_connection_is_closed_in_time_and_a_busy_one_is_not(
    serve: ServeLimited, app: Application
) -> None:
    address = serve(keep_alive=1, head_seconds=0.2, body_seconds=0.2, send_seconds=0.2)
    with Connection(address) as connection:
        connection.send_request("GET", "/late")
        connection.send_request("GET", "/late")
        assert connection.receive().body == b"0"
        assert connection.receive().body == b"0"
        began = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - began >= 0.9


@on_each_loop
def test_a_request_that_comes_at_the_end_of_its_time_is_answered(
    serve: ServeLimited, connections: list[LimitedProtocol]
) -> None:
    with Connection(serve(keep_alive=600, head_seconds=600)) as used, Connection(serve()) as unused:
        assert used.request("GET", "/").status == 200
        until(lambda: len(connections) == 2)
        for connection, limited in zip((used, unused), connections, strict=True):

            def let_time_pass(
                connection: Connection = connection, limited: LimitedProtocol = limited
            ) -> None:
                limited.look(0)  # of which it takes note only
                connection.send_request("GET", "/")
                until(lambda: has_arrived(limited.transport))
                limited.look(6000)

            limited.loop.call_soon_threadsafe(let_time_pass)
            assert connection.receive().status == 200


def test_a_connection_is_not_idle_while_its_client_reads(
    serve: ServeLimited, app: Application, connections: list[LimitedProtocol]
) -> None:
    with Connection(serve(keep_alive=1), receive_buffer=4096) as connection:
        connection.send_request("GET", "/block")
        until(lambda: app.ends)
        time.sleep(2.5)
        assert not connections[0].transport.is_closing()
        assert len(connection.receive().body) == 300_000
        assert connection.is_closed()


def test_an_unread_body_is_thrown_away_for_a_while_only(serve: ServeLimited) -> None:
    address = serve(keep_alive=1, head_seconds=0.2)
    for is_ended in (True, False):
        with Connection(address) as connection:
            connection.send(CHUNKED.replace(b"/", b"/unread", 1))
            assert connection.receive().body == b"unread"
            if is_ended:
                connection.send(chunk(b"x") + chunk())
                assert connection.request("GET", "/").body == b"0"
            else:
                assert drip(connection, chunk(b"x") * 1000, 0.02) < 5000
                assert connection.is_closed()


@on_each_loop
@pytest.mark.parametrize("target", ["/flood", "/large"], ids=["stream", "complete response"])
def test_a_client_that_does_not_read_is_cut_off(
    serve: ServeLimited, app: Application, connections: list[LimitedProtocol], target: str
) -> None:
    with Connection(serve(send_seconds=0.4), receive_buffer=4096) as connection:
        connection.send_request("GET", target)
        until(lambda: connections and connections[0].received)
        until(connections[0].transport.is_closing)
        until(lambda: app.ends == ["disconnected" if target == "/flood" else "sent"])
        received = b""
        with suppress(ConnectionError):
            received = connection.receive_bytes(20_000_000)
        assert len(received) < 20_000_000


@on_each_loop
def test_a_client_may_read_slowly(serve: ServeLimited) -> None:
    with Connection(serve(send_seconds=0.5), receive_buffer=65536) as connection:
        connection.send_request("GET", "/large")
        assert connection.receive_head().status == 200
        for _ in range(20):
            assert len(connection.receive_bytes(1_000_000)) == 1_000_000
            time.sleep(0.1)


def test_a_producer_may_be_silent(serve: ServeLimited) -> None:
    with Connection(serve(head_seconds=0.1, body_seconds=0.1, send_seconds=0.1)) as connection:
        connection.send_request("GET", "/silent")
        assert connection.receive_head().status == 200
        with pytest.raises(TimeoutError):
            connection.wait_for_close(1)


def test_a_producer_may_be_given_a_time(serve: ServeLimited, app: Application) -> None:
    address = serve(stream_seconds=0.6)
    assert fetch(address, "/ticks").body == b"." * 20
    with Connection(address) as connection:
        connection.send_request("GET", "/late")  # which takes its time before it begins
        assert connection.receive().status == 200
        connection.send_request("GET", "/silent")
        with pytest.raises(TruncatedResponse):
            connection.receive()
    until(lambda: app.ends == ["complete", "disconnected"])


def test_who_does_not_close_after_a_refusal_is_closed(serve: ServeLimited) -> None:
    with Connection(serve(head_seconds=0.4)) as connection:
        connection.send(HEAD + b"A: b\x00\r\n\r\n")
        assert connection.receive().status == 400
        assert drip(connection, b"x" * 1000, 0.02) < 1000


@pytest.mark.parametrize("combination", [("h11", "asyncio")], indirect=True, ids="-".join)
def test_a_body_that_came_behind_its_answer_delays_no_end(
    serve: ServeLimited, connections: list[LimitedH11Protocol]
) -> None:
    with Connection(serve()) as connection:
        connection.send(b"POST /unread HTTP/1.1\r\nHost: shop\r\nContent-Length: 4\r\n\r\n")
        assert connection.receive().body == b"unread"
        connection.send(b"late")
        until(connections[0].is_ready_to_close)
