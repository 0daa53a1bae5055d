# SPDX-License-Identifier: MIT
"""Rule 5: ``Expect: 100-continue`` is answered when the application reads (RFC 9110, 10.1.1)."""

from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import request

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.client import Connection, chunk
from tests.support.server import Serve, on_every_server

EXPECT = ("Expect", "100-continue")
FRAMINGS = {
    "length": (("Content-Length", "4"), b"body"),
    "chunked": (("Transfer-Encoding", "chunked"), chunk(b"body") + chunk()),
}


def echo() -> Iterator[bytes]:
    body = request.stream

    def produce() -> Iterator[bytes]:
        yield b"head "
        yield body.read()

    return produce()


VIEWS: dict[str, Callable[[], Any]] = {
    "read": lambda: request.get_data(cache=True),
    "refuse": lambda: ("no", 403),
    "stream": lambda: (str(number) for number in range(5)),
    "echo": echo,
}


def application() -> flask.Flask:
    """An application with each of the views, on a thread and on the loop."""
    app = flask.Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = 1000

    def on_loop(view: Callable[[], Any]) -> Callable[[], Any]:
        async def async_view() -> Any:
            return view()

        return async_view

    for name, view in VIEWS.items():
        app.add_url_rule(f"/thread/{name}", f"thread {name}", view, methods=["POST"])
        app.add_url_rule(f"/loop/{name}", f"loop {name}", on_loop(view), methods=["POST"])
    return app


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_the_client_is_told_to_go_on_when_the_application_reads(
    serve: Serve, adapter: Adapter, kind: str
) -> None:
    """Stock asgiref tells any client to go on."""
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", f"/{kind}/read", [EXPECT, FRAMINGS["length"][0]])
        assert connection.receive_head().status == 100
        connection.send(b"body")
        response = connection.receive()
        assert (response.status, response.body) == (200, b"body")


@stock_fails("every client is told to go on", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize(
    ("view", "field", "status", "body"),
    [
        ("refuse", FRAMINGS["length"][0], 403, b"no"),
        ("refuse", FRAMINGS["chunked"][0], 403, b"no"),
        ("read", ("Content-Length", "1001"), 413, None),
        # It is watched for a disconnect, by the call that could ask for the body.
        ("stream", FRAMINGS["length"][0], 200, b"01234"),
    ],
)
@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_the_first_answer_is_the_final_one_when_it_does_not_read(
    serve: Serve,
    adapter: Adapter,
    kind: str,
    view: str,
    field: tuple[str, str],
    status: int,
    body: bytes | None,
) -> None:
    with Connection(serve(adapter(application()))) as connection:
        connection.send_request("POST", f"/{kind}/{view}", [EXPECT, field])
        response = connection.receive()
        assert response.status == status
        assert body in {None, response.body}


@on_every_server
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_client_need_not_wait(serve: Serve, framing: str) -> None:
    """Sent at once, the body is read, streamed or dropped; the connection stays usable.

    For stock asgiref the second request on a connection may fail.
    """
    field, body = FRAMINGS[framing]
    with Connection(serve(FlaskToAsgi(application()))) as connection:
        for kind in ("thread", "loop"):
            for view, expected in [
                ("read", b"body"),
                ("refuse", b"no"),
                ("stream", b"01234"),
                ("echo", b"head body"),
            ]:
                connection.send_request("POST", f"/{kind}/{view}", [EXPECT, field])
                connection.send(body)
                response = connection.receive()
                if response.status == 100:
                    response = connection.receive()
                assert response.body == expected
