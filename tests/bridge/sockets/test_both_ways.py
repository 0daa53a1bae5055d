# SPDX-License-Identifier: MIT
"""Rules 5 and 8: bodies in both directions at once."""

import hashlib
import threading
from collections.abc import AsyncIterator
from typing import IO

import pytest
from flask import Flask, Response, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.client import Connection
from tests.support.server import Serve, on_every_server

pytestmark = pytest.mark.usefixtures("impatient")


def echo() -> Flask:
    """An application that gives back what it gets, piece by piece."""
    app = Flask(__name__)

    async def agenerate(stream: IO[bytes]) -> AsyncIterator[bytes]:
        while piece := stream.read(10_000):
            yield piece

    @app.post("/sync")
    def view() -> Response:
        pieces = iter(lambda: request.stream.read(10_000), b"")
        return Response(stream_with_context(pieces))

    @app.post("/async")
    async def async_view() -> AsyncIterator[bytes]:
        return agenerate(request.stream)

    @app.post("/async/sync")
    async def mixed_view() -> Response:
        return view()

    return app


@on_every_server
@pytest.mark.parametrize("target", ["/sync", "/async", "/async/sync"])
def test_a_body_is_echoed_while_it_comes(serve: Serve, target: str) -> None:
    """Rules 5 and 8: far more than all buffers hold."""
    size = 12 << 20
    data = hashlib.sha256(b"").digest() * (size // 32)
    with Connection(serve(FlaskToAsgi(echo()))) as connection:
        connection.send_request("POST", target, [("Content-Length", str(size))])
        sending = threading.Thread(target=connection.send, args=(data,))
        sending.start()
        assert connection.receive().body == data
        sending.join()
        assert connection.request("POST", target, body=b"next").body == b"next"


@on_every_server
@pytest.mark.parametrize("target", ["/sync", "/async", "/async/sync"])
def test_pieces_go_to_and_fro(serve: Serve, target: str) -> None:
    """Rules 5 and 8: the client waits for each answer before it goes on."""
    with Connection(serve(FlaskToAsgi(echo()))) as connection:
        connection.send_request("POST", target, [("Transfer-Encoding", "chunked")])
        piece = bytes(10_000)
        connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.receive_head()
        chunks = connection.receive_chunks()
        for _ in range(20):
            assert len(next(chunks)) == len(piece)
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert len(next(chunks)) == len(piece)
        connection.send(b"0\r\n\r\n")
        assert list(chunks) == []
