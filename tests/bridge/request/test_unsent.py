# SPDX-License-Identifier: MIT
import asyncio
import threading
from collections.abc import Iterable, Iterator

import pytest

from ashapp.bridge.messages.types import Environ, Message, StartResponse
from ashapp.bridge.request.output_queue import PIECE, WriteBehind, pieces
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client, http_scope
from tests.support.waiting import eventually, until_set


def test_a_part_of_memory_is_theirs() -> None:
    behind = WriteBehind(lambda: 800)
    assert behind.take(60)
    assert not behind.take(41)
    assert behind.take(40)
    assert behind.held == 100
    behind.give_back(60)
    assert behind.take(50)


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 3 * PIECE])
def test_pieces_are_the_whole(size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    parts = list(pieces({"type": "http.response.body", "body": body, "more_body": False}))
    assert b"".join(part["body"] for part in parts) == body
    assert [part["more_body"] for part in parts] == [True] * (len(parts) - 1) + [False]
    assert all(len(part["body"]) <= PIECE for part in parts)
    assert len(parts) == max(1, -(-size // PIECE))


def test_a_head_is_one_piece() -> None:
    head: Message = {"type": "http.response.start", "status": 200, "headers": []}
    assert list(pieces(head)) == [head]


class Application:
    """Answers with 4 MiB, in one of several ways, and tells when it has done."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(16 * PIECE))])
        self.closed.clear()
        form = environ["PATH_INFO"]
        return Body([bytes(16 * PIECE)] if form == "/whole" else [bytes(PIECE)] * 16, self.closed)


class Body(list[bytes]):
    """A list that is told when it is closed."""

    def __init__(self, parts: Iterable[bytes], closed: threading.Event) -> None:
        super().__init__(parts)
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        return super().__iter__()

    def close(self) -> None:
        self._closed.set()


def slow(bridge: WsgiToAsgi, form: str) -> tuple[Client, asyncio.Task[None]]:
    """Begin a request whose client reads nothing."""
    client = Client()
    client.reads.clear()
    scope = http_scope("GET", form.encode())
    return client, asyncio.create_task(bridge(scope, client.receive, client.send))


@pytest.mark.parametrize("form", ["/whole", "/parts"])
async def test_a_slow_reader_of_what_is_complete_holds_no_thread(form: str) -> None:
    app = Application()
    bridge = WsgiToAsgi(app, threads=1)
    client, serving = slow(bridge, form)
    await until_set(app.closed)
    await eventually(lambda: bridge.threads.busy == 0)
    assert not client.complete
    client.reads.set()
    await serving
    assert client.complete
    assert len(client.body) == 16 * PIECE
    assert bridge._behind.held == 0


@pytest.mark.parametrize("form", ["/whole", "/parts"])
@pytest.mark.parametrize("end", ["read", "cancel"])
async def test_past_the_bound_it_holds_its_thread(form: str, end: str) -> None:
    app = Application()
    bridge = WsgiToAsgi(app, threads=1)
    bridge._behind = WriteBehind(lambda: 0)
    client, serving = slow(bridge, form)
    await client.until(lambda client: client.sent)
    assert bridge.threads.busy == 1
    assert not app.closed.is_set()
    if end == "read":
        client.reads.set()
        await serving
        assert len(client.body) == 16 * PIECE
    else:
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    await until_set(app.closed)
    await eventually(lambda: bridge.threads.busy == 0)
    assert bridge._behind.held == 0
