# SPDX-License-Identifier: MIT
import asyncio
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import flask
import pytest
from flask import Flask, request

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from ashapp.bridge.messages.types import Receive, Scope, Send
from tests.support.asgi import Client
from tests.support.client import Connection, chunk
from tests.support.flask import begin
from tests.support.server import Serve, on_every_server
from tests.support.waiting import PATIENCE

# What the client sends before it goes, and how it does so.
CUT: dict[str, tuple[tuple[str, str], bytes]] = {
    "length": (("Content-Length", "1000"), b"x" * 999),
    "chunked": (("Transfer-Encoding", "chunked"), chunk(b"x" * 999)),
    "in a chunk": (("Transfer-Encoding", "chunked"), chunk(b"x" * 999)[:-20]),
    "long": (("Content-Length", "1000000"), b"x" * 999_999),
    "at once": (("Content-Length", "1000"), b""),
}
GO: dict[str, Callable[[Connection], None]] = {"close": Connection.close, "reset": Connection.vanish}

READS: dict[str, tuple[Callable[[], Any], str]] = {
    "get_data": (lambda: request.get_data(cache=True), "application/octet-stream"),
    "get_json": (lambda: request.get_json(force=True), "application/json"),
    "silent json": (lambda: request.get_json(silent=True), "application/json"),
    "form": (lambda: request.form, "application/x-www-form-urlencoded"),
    "files": (lambda: request.files, "multipart/form-data; boundary=b"),
    "stream": (lambda: request.stream.read(-1), "application/octet-stream"),
    "one byte too many": (lambda: request.stream.read(1000), "application/octet-stream"),
    "blocks": (lambda: list(iter(lambda: request.stream.read(7), b"")), "application/octet-stream"),
    "lines": (lambda: list(request.stream), "application/octet-stream"),
}


class Outcomes:
    """An ASGI application around another that tells when it is called and what each call raised."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self.called = threading.Event()
        self._outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.set()
        try:
            await self._application(scope, receive, send)
        finally:
            self._outcomes.put(sys.exception())

    def next(self) -> BaseException | None:
        """Wait until a call ends, and return what it raised."""
        return self._outcomes.get(timeout=PATIENCE)


class Reading:
    """A Flask application whose view reads the body, and what became of that."""

    def __init__(self, read: Callable[[], Any], kind: str) -> None:
        self.app = Flask(__name__)
        self.complete: list[Any] = []
        self.errors: list[BaseException] = []
        self.torn_down: list[BaseException | None] = []
        self._read = read
        view: Any = self._view if kind == "thread" else self._async_view
        self.app.add_url_rule("/", view_func=view, methods=["POST"])
        self.app.teardown_request(self.torn_down.append)

    def _view(self) -> str:
        try:
            self.complete.append(self._read())
        except BaseException as error:
            self.errors.append(error)
            raise
        return "complete"

    async def _async_view(self) -> str:
        return self._view()


def upload_and_go(
    serve: Serve, cut: str, go: Callable[[Connection], None], kind: str
) -> tuple[Outcomes, Reading]:
    reading = Reading(READS["get_data"][0], kind)
    outcomes = Outcomes(FlaskToAsgi(reading.app))
    connection = Connection(serve(outcomes))
    field, body = CUT[cut]
    connection.send_request("POST", "/", [field])
    connection.send(body)
    assert outcomes.called.wait(PATIENCE)
    go(connection)
    return outcomes, reading


@on_every_server
@pytest.mark.parametrize("go", GO.values(), ids=GO)
@pytest.mark.parametrize("cut", CUT)
def test_the_reader_is_told(
    serve: Serve, caplog: pytest.LogCaptureFixture, cut: str, go: Callable[[Connection], None], place: str
) -> None:
    """The reader gets ClientDisconnected, the request is torn down, and no traceback is logged."""
    outcomes, reading = upload_and_go(serve, cut, go, place)
    assert outcomes.next() is None
    assert [type(error) for error in reading.errors] == [ClientDisconnected]
    assert (reading.complete, reading.torn_down) == ([], [None])
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("limit", [None, 5000])
@pytest.mark.parametrize("read", READS)
async def test_every_way_of_reading_is_told(read: str, limit: int | None, place: str) -> None:
    """Behind MAX_CONTENT_LENGTH Werkzeug raises its own ClientDisconnected, of which ours is a kind."""
    function, content_type = READS[read]
    reading = Reading(function, place)
    reading.app.config["MAX_CONTENT_LENGTH"] = limit
    headers = [(b"content-length", b"1000"), (b"content-type", content_type.encode())]
    pending = begin(FlaskToAsgi(reading.app), "POST", client=Client(b"x" * 999, more=True), headers=headers)
    await asyncio.sleep(0)
    pending.client.leave()
    await pending.end()
    assert [error.__class__.__name__ for error in reading.errors] == ["ClientDisconnected"]
    assert reading.complete == []


@pytest.mark.parametrize("where", ["view", "hook"])
async def test_the_view_may_answer_all_the_same(place: str, where: str) -> None:
    """Nobody gets the answer; what the view does with it is no error."""

    def read() -> None:
        with pytest.raises(ClientDisconnected):
            flask.request.get_data()

    reading = Reading(read, place)
    if where == "hook":
        reading.app.before_request(read)
    pending = begin(
        FlaskToAsgi(reading.app), "POST", client=Client(b"x", more=True), headers=[(b"content-length", b"9")]
    )
    pending.client.leave()
    await pending.end()
    assert reading.errors == []


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


@on_every_server
@pytest.mark.parametrize("kind", ["thread", "loop"])
def test_the_client_is_told_to_go_on_when_the_application_reads(serve: Serve, kind: str) -> None:
    with Connection(serve(FlaskToAsgi(application()))) as connection:
        connection.send_request("POST", f"/{kind}/read", [EXPECT, FRAMINGS["length"][0]])
        assert connection.receive_head().status == 100
        connection.send(b"body")
        response = connection.receive()
        assert (response.status, response.body) == (200, b"body")


@on_every_server
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
    kind: str,
    view: str,
    field: tuple[str, str],
    status: int,
    body: bytes | None,
) -> None:
    with Connection(serve(FlaskToAsgi(application()))) as connection:
        connection.send_request("POST", f"/{kind}/{view}", [EXPECT, field])
        response = connection.receive()
        assert response.status == status
        assert body in {None, response.body}


@on_every_server
@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_client_need_not_wait(serve: Serve, framing: str) -> None:
    """Sent at once, the body is read, streamed or dropped."""
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
