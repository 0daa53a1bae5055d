# SPDX-License-Identifier: MIT
"""Rule 5: ``Expect: 100-continue`` is answered when the application reads (RFC 9110, 10.1.1)."""

from collections.abc import Iterator

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.client import Connection, chunk
from tests.support.server import Serve, on_every_server

EXPECT = ("Expect", "100-continue")
FRAMINGS = {
    "length": (("Content-Length", "4"), b"body"),
    "chunked": (("Transfer-Encoding", "chunked"), chunk(b"body") + chunk()),
}


def application() -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1000

    @app.post("/read")
    def read() -> bytes:
        return request.get_data()

    @app.post("/async")
    async def async_read() -> bytes:
        return request.get_data()

    @app.post("/async/refuse")
    async def async_refuse() -> tuple[str, int]:
        return "no", 403

    @app.post("/refuse")
    def refuse() -> tuple[str, int]:
        return "no", 403

    @app.post("/stream")
    def stream() -> Iterator[str]:
        return (str(number) for number in range(5))

    @app.post("/echo")
    def echo() -> Iterator[bytes]:
        body = request.stream

        def produce() -> Iterator[bytes]:
            yield b"head "
            yield body.read()

        return produce()

    return app


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("target", ["/read", "/async"])
def test_the_client_is_told_to_go_on_when_the_application_reads(
    serve: Serve, adapter: Adapter, target: str
) -> None:
    """Rule 5. Stock asgiref tells any client to go on."""
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", target, [EXPECT, FRAMINGS["length"][0]])
        assert connection.receive_head().status == 100
        connection.send(b"body")
        response = connection.receive()
        assert (response.status, response.body) == (200, b"body")


@stock_fails("every client is told to go on", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("target", ["/refuse", "/async/refuse"])
def test_the_client_is_refused_when_the_application_does_not_read(
    serve: Serve, adapter: Adapter, target: str, framing: str
) -> None:
    """Rule 5. The first answer is the final one."""
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", target, [EXPECT, FRAMINGS[framing][0]])
        response = connection.receive()
        assert (response.status, response.body) == (403, b"no")


@stock_fails("every client is told to go on", FlaskToAsgi, everywhere=True)
def test_the_client_is_refused_when_the_body_would_be_too_long(serve: Serve, adapter: Adapter) -> None:
    """Rule 5."""
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", "/read", [EXPECT, ("Content-Length", "1001")])
        assert connection.receive().status == 413


@stock_fails("every client is told to go on", FlaskToAsgi, everywhere=True)
def test_a_stream_does_not_ask_for_the_body(serve: Serve, adapter: Adapter) -> None:
    """Rule 5. A streamed response is watched for a disconnect, by the call that could ask for the body."""
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", "/stream", [EXPECT, FRAMINGS["length"][0]])
        response = connection.receive()
        assert (response.status, response.body) == (200, b"01234")


@on_every_server
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_client_need_not_wait(serve: Serve, framing: str) -> None:
    """Rule 5. Sent at once, the body is read, streamed or dropped; the connection stays usable.

    For stock asgiref the second request on a connection may fail.
    """
    field, body = FRAMINGS[framing]
    with Connection(serve(FlaskToAsgi(application()))) as connection:
        for target, expected in [
            ("/read", b"body"),
            ("/refuse", b"no"),
            ("/async/refuse", b"no"),
            ("/stream", b"01234"),
            ("/async", b"body"),
            ("/echo", b"head body"),
        ]:
            connection.send_request("POST", target, [EXPECT, field])
            connection.send(body)
            response = connection.receive()
            if response.status == 100:
                response = connection.receive()
            assert response.body == expected
