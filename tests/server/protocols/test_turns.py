# SPDX-License-Identifier: MIT
import asyncio
import threading
import time

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols import turns
from ashapp.server.protocols.connection import LimitedProtocol
from ashapp.server.protocols.turns import Backlog, Turns
from tests.server.protocols.conftest import Application, ServeLimited, on_each_loop
from tests.server.protocols.test_refusals import CHUNKED, HEAD, POST
from tests.support.client import Connection, chunk
from tests.support.server import Combination
from tests.support.waiting import PATIENCE, until

# So many chunks take each parser some tenths of a second.
CHUNKS = {"httptools": 100_000, "h11": 15_000}


class Waiting:
    """Has so many turns, and notes them; stands for its transport, too."""

    def __init__(self, name: str, turns: int, journal: list[str]) -> None:
        self.transport = self
        self.name = name
        self.left = turns
        self.journal = journal

    def take_turn(self) -> bool:
        time.sleep(turns._ROUND)  # one turn in a round
        self.journal.append(self.name)
        self.left -= 1
        if self.left < 0:
            raise ValueError
        return self.left > 0

    def abort(self) -> None:
        self.journal.append("aborted")


async def test_each_has_its_turn_and_the_loop_goes_on_between_rounds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal: list[str] = []
    line = Turns()
    for waiting in (Waiting("a", 3, journal), Waiting("b", 1, journal), Waiting("bad", 0, journal)):
        line.add(waiting)
    for _ in range(5):
        await asyncio.sleep(0)
        journal.append("|")
    assert "".join(journal) == "a|b|badaborted|a|a|"
    assert caplog.messages == ["What was received could not be taken in: connection aborted"]


def test_pieces_grow_while_they_are_quick_and_shrink_else() -> None:
    sizes: list[int] = []

    def take(piece: bytes) -> None:
        sizes.append(len(piece))
        time.sleep(0.002 if len(piece) > 2000 else 0)

    backlog = Backlog(bytes(50_000))
    while backlog.data:
        backlog.pass_on(take)
    assert sizes[0] < max(sizes) < 4000


@on_each_loop
def test_what_is_laborious_is_taken_in_whole(serve: ServeLimited, app: Application) -> None:
    with Connection(serve(), timeout=60) as connection:
        gets = (HEAD + b"\r\n") * 80
        text = b"line\r\n" * 5000
        connection.send(CHUNKED + chunk(b"x") * 3000 + chunk() + HEAD + b"\r\n")
        connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        assert [connection.receive().body for _ in range(3)] == [b"3000", b"0", b"30000"]
        connection.send(gets)
        assert [connection.receive().body for _ in range(80)] == [b"0"] * 80
        connection.send(CHUNKED + (chunk(b"x") * 3000)[:-1] + b"x")
        assert connection.receive().status == 400
        assert connection.is_closed()
    until(lambda: app.ends == ["complete"] * 83 + ["disconnected"])


@on_each_loop
def test_others_are_served_between_what_is_laborious(
    serve: ServeLimited, connections: list[LimitedProtocol], app: Application, combination: Combination
) -> None:
    address, size = serve(), CHUNKS[combination[0]]
    with Connection(address, timeout=60) as busy, Connection(address, timeout=60) as other:
        assert busy.request("GET", "/").body == b"0"
        (first, *_) = connections
        ended = threading.Event()

        def send() -> None:
            busy.send(CHUNKED + chunk(b"x") * size + chunk())
            ended.set()

        threading.Thread(target=send).start()
        until(lambda: first.flow.held)
        assert other.request("GET", "/").body == b"0"
        assert app.ends == ["complete"] * 2
        assert busy.receive().body == b"%d" % size
        assert ended.wait(PATIENCE)


def test_no_more_is_read_behind_it_than_the_application_takes(serve: ServeLimited, app: Application) -> None:
    go, size = threading.Event(), 30 << 20

    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.to_thread(go.wait, PATIENCE)
        await app.echo(receive, send)

    with Connection(serve(wait), timeout=60) as connection:
        connection.send(CHUNKED + chunk(bytes(50)) * 2000 + b"%x\r\n" % size)
        sent = connection.send_until_held(size)
        go.set()
        connection.send(bytes(size - sent) + b"\r\n" + chunk())
        assert connection.receive().body == b"%d" % (100_000 + size)
    assert sent < size


@on_each_loop
def test_what_waits_is_forgotten_with_its_client(
    serve: ServeLimited, connections: list[LimitedProtocol], combination: Combination
) -> None:
    laborious = chunk(b"x") * CHUNKS[combination[0]]
    with Connection(serve()) as connection:
        connection.send(CHUNKED + laborious)
        until(lambda: connections and connections[0].flow.held)
        connection.vanish()
    until(lambda: not connections[0].flow.held)


def test_no_more_than_a_megabyte_may_wait(serve: ServeLimited, connections: list[LimitedProtocol]) -> None:
    with Connection(serve()) as connection:
        connection.send(CHUNKED)
        until(lambda: connections and connections[0].received)
        (first,) = connections
        for _ in range(2):  # as a transport does that can't be paused at once
            first.loop.call_soon_threadsafe(first.data_received, chunk(b"x") * 100_000)
        assert connection.is_closed()
