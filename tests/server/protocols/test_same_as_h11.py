# SPDX-License-Identifier: MIT
"""Where one request ends and the next begins, beside h11, which by itself takes no upgrade.

What nginx keeps closed stays closed, with the fields for WebSockets that its documentation has.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols import ConnectionLimits, limited_protocol
from tests.support.client import Connection, chunk
from tests.support.network.nginx import needs_nginx, nginx
from tests.support.server import serving

#: Method, target and body.
Message = tuple[str, str, bytes]

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"

TOKENS = st.text("abcdeghpstuw2/.-", min_size=1, max_size=9)
PROTOCOLS = st.one_of(st.sampled_from(["h2c", "websocket", "WebSocket", "TLS/1.0", "HTTP/2.0", ""]), TOKENS)
OPTIONS = st.one_of(
    st.sampled_from(["upgrade", "Upgrade", "UPGRADE", "keep-alive", "close", "HTTP2-Settings", "TE"]), TOKENS
)
FIELDS = st.one_of(
    st.tuples(st.sampled_from(["Upgrade", "upgrade"]), st.lists(PROTOCOLS, max_size=2).map(", ".join)),
    st.tuples(st.sampled_from(["Connection", "CONNECTION"]), st.lists(OPTIONS, max_size=3).map(" ,".join)),
    st.tuples(st.just("Expect"), st.sampled_from(["100-continue", "100-Continue", "202-accepted", ""])),
    st.tuples(st.just("TE"), st.sampled_from(["trailers", "trailers, deflate;q=0.5", "chunked", ""])),
    st.tuples(st.just("HTTP2-Settings"), st.just("AAMAAABkAAQAAP__")),
)
BODIES = st.one_of(
    st.lists(st.sampled_from([SMUGGLED, b"", b"0\r\n\r\n", b"\r\n"]), max_size=3).map(b"".join),
    st.binary(max_size=20),
)


def with_length(body: bytes) -> tuple[bytes, bytes]:
    return b"Content-Length: %d\r\n" % len(body), body


def in_chunks(parts: list[bytes]) -> tuple[bytes, bytes]:
    return b"Transfer-Encoding: chunked\r\n", b"".join(map(chunk, filter(None, parts))) + chunk()


def written(method: str, version: str, fields: list[tuple[str, str]], body: tuple[bytes, bytes]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
    line = f"{method} /{len(fields)} HTTP/{version}\r\nHost: shop\r\n".encode()
    return line + lines + body[0] + b"\r\n" + body[1]


REQUESTS = st.builds(
    written,
    st.sampled_from(["GET", "GET", "POST", "PUT", "OPTIONS"]),
    st.sampled_from(["1.1"] * 9 + ["1.0"]),
    st.lists(FIELDS, max_size=5),
    st.one_of(
        st.just((b"", b"")),
        st.builds(with_length, BODIES),
        st.builds(in_chunks, st.lists(BODIES, max_size=3)),
    ),
)


class Recorder:
    """Notes the requests that are complete."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message["more_body"]
        self.messages.append((scope["method"], scope["path"], body))
        fields = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def by_h11(data: bytes) -> Iterator[Message]:
    """Yield the messages of *data*, up to what is wrong or ends the connection."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, body = None, b""
    with suppress(h11.RemoteProtocolError):
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                assert request is not None
                yield request.method.decode(), request.target.decode(), body
                connection.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return
                connection.start_next_cycle()


@pytest.mark.parametrize("ws", ["none", "websockets-sansio"])
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_messages_end_where_h11_sees_them_end(http: str, ws: str) -> None:
    app = Recorder()
    protocol = limited_protocol(http, ConnectionLimits())

    @settings(max_examples=100)
    @given(st.lists(REQUESTS, min_size=1, max_size=4), st.lists(st.integers(0, 500), max_size=4))
    def agree(requests: list[bytes], cuts: list[int]) -> None:
        data = b"".join([*requests, LAST])
        app.messages.clear()
        with Connection(address) as connection, suppress(ConnectionError):
            for start, end in pairwise(sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})):
                connection.send(data[start:end])
            connection.receive_bytes(1_000_000)
        assert app.messages == list(by_h11(data))

    with serving(app, http=protocol, ws=ws, loop="asyncio", lifespan="off") as address:
        agree()


# Of nginx's documentation.
DIRECTIVES = """
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_request_buffering off;
"""

KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"


@needs_nginx
@pytest.mark.parametrize("ws", ["none", "websockets-sansio"])
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_no_body_is_taken_for_requests(tmp_path: Path, http: str, ws: str) -> None:
    app = Recorder()
    heads = [
        b"%s /%d HTTP/1.1\r\nHost: shop\r\nConnection: close, Upgrade\r\nUpgrade: %s\r\n%s%s\r\n%s"
        % (method, number, token, more, *framed)
        for number, more in enumerate([b"", KEY])
        for method in (b"POST", b"GET")
        for token in (b"h2c", b"websocket", b"TLS/1.0, websocket")
        for framed in (with_length(SMUGGLED), in_chunks([SMUGGLED]))
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
    assert {body for _, _, body in app.messages} == {SMUGGLED}
    assert {path for _, path, _ in app.messages} == {"/0", "/1"}
    assert len(app.messages) >= len(heads) - 2
