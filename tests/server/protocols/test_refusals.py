# SPDX-License-Identifier: MIT
"""Requests that are too large or not valid HTTP/1.1, over sockets."""

import json
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ashapp.server.protocols import limits
from tests.server.protocols.conftest import Application, ServeLimited, on_each_loop
from tests.support.client import HANDSHAKE, Address, Connection, Response, TruncatedResponse, chunk, fetch
from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.server import Combination
from tests.support.waiting import PATIENCE, until

HEAD = b"GET / HTTP/1.1\r\nHost: shop\r\n"
POST = b"POST / HTTP/1.1\r\nHost: shop\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKS = b"Transfer-Encoding: chunked\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

#: What is no host: more than a name or an address with a port, or less (RFC 3986, 3.2.2).
HOSTS = [
    *b"shop/a me@shop shop:http shop:80:80 shop:123456 shop?a shop#a shop\\a <shop> caf\xe9".split(),
    *b"[::1 ::1 [shop]".split(),
    b"shop other",
    b"x" * 300,
]

MALFORMED = [
    POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    POST + b"Content-Length: 5, 5\r\n\r\nhello",
    POST + b"Content-Length: +5\r\n\r\nhello",
    POST + LENGTH + CHUNKS + b"\r\n0\r\n\r\n",
    POST + CHUNKS + LENGTH + b"\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\nHost: shop\n\n",
    b"GET / HTTP/1.1\r\nHost: shop\nA: b\r\n\r\n",
    HEAD + b"\n",
    HEAD + b"A: b\rB: c\r\n\r\n",
    HEAD + b"A: b\r\n c\r\n\r\n",
    HEAD + b"A: b\r\n\tc\r\n\r\n",
    HEAD + b"A: b\x00c\r\n\r\n",
    HEAD + b"A\x00: b\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: shop\r\n\r\n",
    HEAD + b"A: b\x01\r\n\r\n",
    HEAD + b"A : b\r\n\r\n",
    HEAD + b": b\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    HEAD + b"A: b\x7f\r\n\r\n",
    POST + b"Content-Length:\r\n\r\n",
    POST + b"content-length: 5\r\nCONTENT-LENGTH: 6\r\n\r\nhello",
    HEAD.replace(b"\r", b"\r\r") + b"\r\n",
    POST + b"Content-Length: x\r\n\r\n",
    b"nonsense\r\n\r\n",
    *(HEAD.replace(b"/", target, 1) + b"\r\n" for target in (b"/caf\xe9", b"/?a=\xff", b"/a b", b"/\x7f")),
    HEAD + b"Host: shop\r\n\r\n",
    HEAD + b"A: b\r\nHost: other\r\n\r\n",
    *(HEAD.replace(b"shop", host) + b"\r\n" for host in HOSTS),
]

#: What is no target for a server: no path, and no URL of HTTP, or one with a user in it.
TARGETS = (
    b"shop:80 shop/a http:///a http:// http://me@shop/ https://me:secret@shop/ HTTP://@shop/ "
    b"http://me@other@shop/a ftp://shop/a ** /a#b /#b /a?b#c http://shop/a#b http://shop#b http://a<b/"
).split()

MALFORMED_BODIES = [
    b"5\nhello\n0\n\n",
    b"5\nhello\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\n",
    b"0\nX: y\n\n",
    b"0\r\nX: y\n\r\n",
    b"0\r\nX: y\r\n\n",
    b"0\r\nX: y\n\n",
    b"0\r\nX: y\rZ: z\r\n\r\n",
    b"0\r\nX: y\r\n z\r\n\r\n",
    b"0\r\nX: y\x00\r\n\r\n",
    b"0\r\nX\x00: y\r\n\r\n",
    b"5;a=\x00\r\nhello\r\n",
    b"5;\x01\r\nhello\r\n",
    b"5;a=b\rc\r\nhello\r\n",
    b'5;a="\n"\r\nhello\r\n',
]


def assert_refused(connection: Connection, status: int) -> str:
    """The next response is a problem of that status, and the last one; return its detail."""
    response = connection.receive()
    problem = json.loads(response.body)
    assert response.status == problem["status"] == status
    assert response.head.one("content-type") == "application/problem+json"
    assert response.head.one("connection") == "close"
    assert connection.is_closed()
    return str(problem["detail"])


def send_in_pieces(connection: Connection, data: bytes, size: int) -> None:
    """Send *data* until it is taken no longer."""
    with suppress(ConnectionError):
        for start in range(0, len(data), size):
            connection.send(data[start : start + size])


def test_what_is_no_target_is_refused_without_a_word_of_it(serve: ServeLimited, app: Application) -> None:
    address = serve()
    for target in TARGETS:
        with Connection(address) as connection:
            connection.send(HEAD.replace(b"/", target, 1) + b"\r\n")
            assert target.decode() not in assert_refused(connection, 400)
    assert app.headers == []


def call(address: Address, data: bytes) -> Response:
    with Connection(address) as connection:
        connection.send(data)
        return connection.receive()


def assert_each_is_refused(address: Address, status: int, *cases: list[bytes]) -> None:
    """Each of *cases* is refused, a message in pieces, and others are served meanwhile."""
    with Connection(address) as other:
        for pieces in cases:
            with Connection(address) as connection:
                try:
                    for piece in pieces:
                        connection.send(piece)
                    assert_refused(connection, status)
                except Exception as error:
                    error.add_note(repr(pieces))
                    raise
            assert other.request("GET", "/unread").status == 200, pieces


def test_what_is_not_valid_is_400_and_does_not_reach_the_application(
    serve: ServeLimited, app: Application
) -> None:
    assert_each_is_refused(serve(), 400, *([data] for data in MALFORMED))
    assert app.ends == []


def test_lines_between_and_behind_chunks_are_as_strict_as_heads(
    serve: ServeLimited, app: Application
) -> None:
    whole = ([CHUNKED + body + HEAD + b"\r\n"] for body in MALFORMED_BODIES)
    assert_each_is_refused(serve(body_seconds=60), 400, *whole)
    pieces = ([CHUNKED, body[:-1], body[-1:]] for body in MALFORMED_BODIES)
    assert_each_is_refused(serve(body_seconds=60), 400, *pieces)
    assert "complete" not in app.ends


def test_requests_of_other_versions_are_refused(
    serve: ServeLimited, app: Application, combination: Combination
) -> None:
    versions = (b"HTTP/2.0", b"HTTP/0.9", b"HTTP/3.0", b"HTTP/1.2")
    hosts = (b"Host: shop\r\n", b"A: b\r\nHost: shop\r\n", b"")
    requests = [b"GET / %s\r\n%s\r\n" % (version, host) for version in versions for host in hosts]
    address = serve()
    assert_each_is_refused(address, 505, *([request + HEAD + b"\r\n"] for request in requests))
    assert_each_is_refused(address, 505, [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
    assert_each_is_refused(address, 400 if combination[0] == "h11" else 505, [b"GET /\r\n\r\n"])
    assert app.ends == []


def test_what_is_valid_passes(serve: ServeLimited) -> None:
    address = serve()
    for host in b"|:80|shop:|a_b.shop.|127.0.0.1:5000|[::1]|[fe80::1%25eth0]:80|a,b|%C3%A9".split(b"|"):
        assert call(address, HEAD.replace(b"shop", host) + b"\r\n").body == b"0"
    assert call(address, POST + b"Content-Length: 5\r\n\r\nhello").body == b"5"
    assert call(address, CHUNKED + chunk(b"hello") + chunk(b"world") + chunk()).body == b"10"
    assert call(address, b"GET / HTTP/1.0\r\n\r\n").body == b"0"
    assert call(address, HEAD + b"A:\r\nB: \t c\xe9 \r\nC: d\te\r\n\r\n").body == b"0"
    assert call(address, POST + b"X-Content-Length: 6\r\nContent-Length:\t5 \r\n\r\n\0 \n\r ").body == b"5"
    assert call(address, HEAD.replace(b"/", b"*", 1) + b"\r\n").body == b"0"
    assert call(address, HEAD.replace(b"/", b"//shop/a@b", 1) + b"\r\n").body == b"0"
    assert call(address, b"GET / HTTP/1.1\r\nA: b\r\nHost: shop\r\n\r\n").body == b"0"
    assert call(address, HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n").body == b"0"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 100_000, 414),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: shop\r\n\r\n", 414),
        (HEAD + b"A: " + b"x" * 65536, 431),
        (HEAD + b"A: " + b"x" * 65536 + b"\r\n\r\n", 431),
        (HEAD + b"A: b\r\n" * 100 + b"\r\n", 431),
        (HEAD + b"A: b\r\n" * 10_000, 431),
    ],
    ids=["endless target", "target", "endless field", "64 KiB of fields", "101 fields", "endless fields"],
)
def test_a_head_that_is_too_large_is_refused_however_it_comes(
    serve: ServeLimited, app: Application, data: bytes, status: int
) -> None:
    address = serve()
    for size in (len(data), 8000, 999):
        with Connection(address) as connection:
            send_in_pieces(connection, data, size)
            assert_refused(connection, status)
        with Connection(address) as connection:
            assert connection.request("GET", "/").status == 200
            send_in_pieces(connection, data, size)
            assert_refused(connection, status)
    assert len(app.headers) == 3


def test_a_head_may_be_as_large_as_the_limits_say(serve: ServeLimited) -> None:
    address = serve(target=100, fields=3, head=400)
    line = b"GET /" + b"?" * 99 + b" HTTP/1.1\r\nHost: shop\r\nA: b\r\n"
    data = line + b"B: " + b"c" * (400 - len(line) - 7) + b"\r\n\r\n"
    for size in (len(data), 7):
        with Connection(address) as connection:
            send_in_pieces(connection, data, size)
            assert connection.receive().status == 200
            send_in_pieces(connection, data, size)
            assert connection.receive().status == 200


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_a_body_that_is_wrong_is_told_of_and_not_asked_for(
    serve: ServeLimited, app: Application, *, is_asked_for: bool
) -> None:
    with Connection(serve()) as connection:
        if is_asked_for:
            connection.send(CHUNKED.replace(b"Host", b"Expect: 100-continue\r\nHost", 1) + b"no chunk\r\n")
        else:
            connection.send(CHUNKED + chunk(b"hello"))
            until(lambda: app.headers)
            connection.send(b"no chunk\r\n")
        assert_refused(connection, 400)
    until(lambda: app.ends == ["disconnected"])


def test_a_body_that_is_wrong_breaks_off_a_response_that_has_begun(
    serve: ServeLimited, app: Application
) -> None:
    address = serve()
    with Connection(address) as connection:
        connection.send(CHUNKED.replace(b"/", b"/early", 1))
        assert connection.receive_head().status == 200
        connection.send(b"no chunk\r\n")
        with pytest.raises(TruncatedResponse) as truncated:
            list(connection.receive_chunks())
        assert truncated.value.partial in {b"", b"begun"}
    until(lambda: app.ends == ["disconnected"])
    with Connection(address) as connection:  # and ends the connection after one that has ended
        connection.send(CHUNKED.replace(b"/", b"/unread", 1))
        assert connection.receive().body == b"unread"
        connection.send(b"no chunk\r\n")
        assert connection.is_closed()


def test_white_space_around_a_value_is_no_part_of_it(serve: ServeLimited, app: Application) -> None:
    assert call(serve(), POST + b"A: \tb c \t\r\nContent-Length: 0\t \r\n\r\n").body == b"0"
    assert app.headers == [[(b"host", b"shop"), (b"a", b"b c"), (b"content-length", b"0")]]


def test_trailer_fields_are_no_headers(serve: ServeLimited, app: Application) -> None:
    with Connection(serve()) as connection:
        connection.send(CHUNKED + chunk(b"hello") + b"0\r\nX-User: admin\r\n\r\n")
        assert connection.receive().body == b"5"
        connection.send(HEAD + b"A: b\r\n\r\n")
        assert connection.receive().body == b"0"
    assert [name for name, _ in app.headers[0]] == [b"host", b"transfer-encoding"]
    assert app.headers[1] == [(b"host", b"shop"), (b"a", b"b")]


def test_empty_lines_before_a_request_are_ignored(serve: ServeLimited) -> None:
    """RFC 9112, 2.2."""
    with Connection(serve()) as connection:
        for piece in (b"\r", b"\n", b"\r\n" + HEAD[:5], HEAD[5:] + b"\r\n"):
            connection.send(piece)
        assert connection.receive().body == b"0"
        connection.send(POST + LENGTH + b"\r\nhello\r\n" + HEAD + b"\r\n\r\n\r\n" + HEAD + b"\r\n")
        assert [connection.receive().body for _ in range(3)] == [b"5", b"0", b"0"]


def test_a_target_may_name_the_host(serve: ServeLimited, app: Application) -> None:
    """In the absolute form of RFC 9112, 3.2.2; what it says counts, not Host."""
    address = serve()
    urls = b"http://other:81/a?b=c HTTPS://other:81/a http://other:81/http://a/ http://other:81"
    for target in [*urls.split(), b"http://other:81?b=c"]:
        assert call(address, HEAD.replace(b"/", target, 1) + b"A: b\r\n\r\n").status == 200
    assert app.paths == ["/a", "/a", "/http://a/", "/", "/"]
    assert app.headers == [[(b"host", b"other:81"), (b"a", b"b")]] * 5


@pytest.mark.parametrize("start", [b"0\r\nX-Long: ", b"1;extension="], ids=["trailer", "chunk extension"])
def test_an_endless_trailer_is_refused(serve: ServeLimited, app: Application, start: bytes) -> None:
    address = serve()
    with Connection(address) as connection:
        connection.send(CHUNKED + chunk(b"hello"))
        until(lambda: app.headers)
        send_in_pieces(connection, start + b"x" * 300_000, 10_000)
        assert_refused(connection, 431)
    until(lambda: app.ends == ["disconnected"])


@on_each_loop
def test_a_client_that_goes_on_sending_can_read_the_answer(serve: ServeLimited) -> None:
    address = serve()
    with Connection(address) as connection:
        send_in_pieces(connection, HEAD + b"A: " + b"x" * 3_000_000, 65536)
        assert_refused(connection, 431)


@on_each_loop
@pytest.mark.parametrize("last", [b"1.0\r\n", b"1.1\r\nConnection: close\r\n"])
def test_a_client_whose_body_is_not_read_may_send_it_and_read_the_answer(
    serve: ServeLimited, last: bytes
) -> None:
    """The last answer of a connection; nginx, which asks for no others, would make 502 of a reset."""
    size = 20_000_000
    with Connection(serve()) as connection:
        connection.send(b"POST /unread HTTP/" + last + b"Host: shop\r\nContent-Length: %d\r\n\r\n" % size)
        connection.send(bytes(size))
        response = connection.receive()
        assert (response.body, response.head.one("connection")) == (b"unread", "close")
        assert connection.is_closed()


@needs_openssl
@on_each_loop
def test_what_is_wrong_is_told_by_tls_too(
    serve: ServeLimited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LINGER", 0.2)
    files = make_certificate(tmp_path)
    address = serve(**files)
    context = ssl.create_default_context(cafile=files["ssl_certfile"])
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(HEAD + b"A: b\x00\r\n\r\n")
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"connection: close\r\n" in received


def test_a_request_may_be_for_a_websocket(serve: ServeLimited) -> None:
    async def accept(scope, receive, send):  # type: ignore[no-untyped-def]
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"

    address = serve(accept, ws="websockets-sansio", head_seconds=0.1, keep_alive=0)
    with Connection(address) as connection:
        connection.send_request("GET", "/", HANDSHAKE)
        assert connection.receive_head().status == 101
        with pytest.raises(TimeoutError):
            connection.wait_for_close(0.5)
    assert fetch(address, "/", fields=[("A", "b" * 70_000)]).status == 431
    # More than the library takes, which uvicorn would leave without an answer.
    with Connection(address) as connection:
        connection.send_request("GET", "/", [*HANDSHAKE, ("Cookie", "x" * 10_000)])
        assert connection.receive().status in {400, 431}
        assert connection.is_closed()


@on_each_loop
def test_who_does_not_read_from_a_websocket_is_cut_off(serve: ServeLimited) -> None:
    ended = threading.Event()

    async def flood(scope, receive, send):  # type: ignore[no-untyped-def]
        await receive()
        await send({"type": "websocket.accept"})
        try:
            for _ in range(200):
                await send({"type": "websocket.send", "bytes": bytes(100_000)})
        finally:
            ended.set()

    with Connection(
        serve(flood, ws="websockets-sansio", send_seconds=0.4), receive_buffer=4096
    ) as connection:
        connection.send_request("GET", "/", HANDSHAKE)
        assert connection.receive_head().status == 101
        assert ended.wait(PATIENCE)
