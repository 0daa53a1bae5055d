# SPDX-License-Identifier: MIT
"""Rule 5: a client that vanishes in the midst of its upload."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask, request

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails
from tests.support.client import Connection, chunk
from tests.support.outcomes import Outcomes
from tests.support.server import Serve, on_every_server

# What the client sends before it goes, and how it does so.
CUT: dict[str, tuple[tuple[str, str], bytes]] = {
    "length": (("Content-Length", "1000"), b"x" * 999),
    "chunked": (("Transfer-Encoding", "chunked"), chunk(b"x" * 999)),
    "in a chunk": (("Transfer-Encoding", "chunked"), chunk(b"x" * 999)[:-20]),
    "long": (("Content-Length", "1000000"), b"x" * 999_999),
    "at once": (("Content-Length", "1000"), b""),
}
GO: dict[str, Callable[[Connection], None]] = {"close": Connection.close, "reset": Connection.vanish}


class Reading:
    """A Flask application whose view reads the body, and what became of that."""

    def __init__(self, read: Callable[[], Any], kind: str = "sync") -> None:
        self.app = Flask(__name__)
        self.complete: list[Any] = []
        self.errors: list[BaseException] = []
        self.torn_down: list[BaseException | None] = []
        self._read = read
        self.app.add_url_rule(
            "/", view_func=self._view if kind == "sync" else self._async_view, methods=["POST"]
        )
        self.app.teardown_request(self._tear_down)

    def _view(self) -> str:
        try:
            self.complete.append(self._read())
        except BaseException as error:
            self.errors.append(error)
            raise
        return "complete"

    async def _async_view(self) -> str:
        return self._view()

    def _tear_down(self, error: BaseException | None) -> None:
        self.torn_down.append(error)


@on_every_server
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("go", GO.values(), ids=GO)
@pytest.mark.parametrize("cut", CUT)
def test_a_truncated_upload_never_looks_complete(
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    cut: str,
    go: Callable[[Connection], None],
    kind: str,
) -> None:
    """Rule 5. The reader gets ClientDisconnected, the request is torn down, and no traceback is logged."""
    outcomes, reading = upload_and_go(serve, FlaskToAsgi, cut, go, kind)
    assert outcomes.next() is None
    assert [type(error) for error in reading.errors] == [ClientDisconnected]
    assert (reading.complete, reading.torn_down) == ([], [None])
    assert "Traceback" not in caplog.text


@stock_fails("it raises ValueError, so that the server logs a traceback", FlaskToAsgi)
@pytest.mark.parametrize("cut", CUT)
def test_a_truncated_upload_is_no_error_of_the_server(serve: Serve, adapter: Adapter, cut: str) -> None:
    """Rule 5."""
    outcomes, _ = upload_and_go(serve, adapter, cut, Connection.close, "sync")
    assert outcomes.next() is None


def upload_and_go(
    serve: Serve, adapter: Adapter, cut: str, go: Callable[[Connection], None], kind: str
) -> tuple[Outcomes, Reading]:
    reading = Reading(lambda: request.get_data(cache=True), kind)
    outcomes = Outcomes(adapter(reading.app))
    connection = Connection(serve(outcomes))
    field, body = CUT[cut]
    connection.send_request("POST", "/", [field])
    connection.send(body)
    outcomes.wait_for_call()
    go(connection)
    return outcomes, reading


READS: dict[str, Callable[[], Any]] = {
    "get_json": lambda: request.get_json(force=True),
    "form": lambda: request.form,
    "files": lambda: request.files,
    "stream": lambda: request.stream.read(-1),
    "one byte too many": lambda: request.stream.read(1000),
    "blocks": lambda: list(iter(lambda: request.stream.read(7), b"")),
    "lines": lambda: list(request.stream),
    "silent json": lambda: request.get_json(silent=True),
}
TYPES = {
    "get_json": "application/json",
    "silent json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "files": "multipart/form-data; boundary=b",
}


@pytest.mark.parametrize("limit", [None, 5000])
@pytest.mark.parametrize("read", READS)
def test_every_reader_is_told(serve: Serve, read: str, limit: int | None) -> None:
    """Rule 5. Behind MAX_CONTENT_LENGTH Werkzeug raises its own ClientDisconnected, of which ours is a kind.

    Stock asgiref never calls the application.
    """
    reading = Reading(READS[read])
    reading.app.config["MAX_CONTENT_LENGTH"] = limit
    outcomes = Outcomes(FlaskToAsgi(reading.app))
    with Connection(serve(outcomes)) as connection:
        fields = [("Content-Length", "1000"), ("Content-Type", TYPES.get(read, "application/octet-stream"))]
        connection.send_request("POST", "/", fields)
        connection.send(b"x" * 999)
        outcomes.wait_for_call()
    assert outcomes.next() is None
    assert [error.__class__.__name__ for error in reading.errors] == ["ClientDisconnected"]
    assert reading.complete == []
