# SPDX-License-Identifier: MIT
import asyncio
import threading

import pytest

from ashapp.server.protocols.connection import turns
from ashapp.server.protocols.connection.turns import Backlog, HeldFlow, Turns
from ashapp.server.protocols.limited import Limited
from tests.server.protocols.conftest import Application, ServeLimited
from tests.server.protocols.test_refusals import CHUNKED, HEAD, POST
from tests.support.client import Connection, chunk
from tests.support.waiting import PATIENCE, until

LABORIOUS = chunk(b"x") * 50_000


class Transport(asyncio.Transport):
    """Notes what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def pause_reading(self) -> None:
        self.asked.append("pause")

    def resume_reading(self) -> None:
        self.asked.append("resume")

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.asked.append("abort")


class Waiting:
    """Has so many turns, and notes them."""

    def __init__(self, name: str, turns: int, journal: list[str]) -> None:
        self.transport: asyncio.Transport = Transport()
        self.name = name
        self.left = turns
        self.journal = journal

    def take_turn(self) -> bool:
        self.journal.append(self.name)
        self.left -= 1
        if self.left < 0:
            raise ValueError
        return self.left > 0


def test_pieces_grow_while_they_are_quick_and_shrink_else() -> None:
    backlog = Backlog(bytes(5000))
    sizes = []
    for seconds in (0, 0, 1, 1, 1):
        sizes.append(len(backlog.pop()))
        backlog.took(seconds)
    assert sizes == [512, 1024, 2048, 1024, 392]
    backlog.add(b"end")
    assert (backlog.pop(), len(backlog)) == (b"end", 0)


async def test_each_has_its_turn_and_the_loop_goes_on_between_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    journal: list[str] = []
    line = Turns(asyncio.get_running_loop(), clock=iter(range(1000)).__next__)
    monkeypatch.setattr(turns, "_ROUND", 2)  # readings of the clock: one turn in a round
    for waiting in (Waiting("a", 3, journal), Waiting("b", 1, journal), Waiting("c", 2, journal)):
        line.add(waiting)
    for _ in range(6):
        await asyncio.sleep(0)
        journal.append("|")
    assert "".join(journal) == "a|b|c|a|c|a|"


async def test_one_that_fails_is_aborted_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    journal: list[str] = []
    line = Turns(asyncio.get_running_loop())
    bad, good = Waiting("bad", 0, journal), Waiting("good", 2, journal)
    line.add(bad)
    line.add(good)
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert journal == ["bad", "good", "good"]
    assert isinstance(bad.transport, Transport)
    assert bad.transport.asked == ["abort"]
    assert caplog.messages == ["What was received could not be taken in: connection aborted"]


def test_a_flow_that_is_held_is_not_read_whoever_wants_to() -> None:
    transport = Transport()
    flow = HeldFlow(transport)
    flow.hold()
    flow.pause_reading()
    flow.resume_reading()
    assert transport.asked == ["pause", "pause"]
    flow.release()
    assert transport.asked.pop() == "resume"
    flow.pause_reading()
    flow.hold()
    flow.release()
    assert transport.asked == ["pause"] * 4
    flow.resume_reading()
    assert transport.asked.pop() == "resume"


def test_what_is_laborious_is_taken_in_whole(serve: ServeLimited, app: Application) -> None:
    with Connection(serve(), timeout=60) as connection:
        gets = (HEAD + b"\r\n") * 80
        text = b"line\r\n" * 20_000
        connection.send(CHUNKED + LABORIOUS + chunk() + HEAD + b"\r\n")
        connection.send(POST + b"Content-Length: %d\r\n\r\n" % len(text) + text)
        assert [connection.receive().body for _ in range(3)] == [b"50000", b"0", b"120000"]
        connection.send(gets)
        assert [connection.receive().body for _ in range(80)] == [b"0"] * 80
        connection.send(CHUNKED + LABORIOUS[:-1] + b"x")
        assert connection.receive().status == 400
        assert connection.is_closed()
    until(lambda: app.ends == ["complete"] * 83 + ["disconnected"])


def test_others_are_served_between_what_is_laborious(
    serve: ServeLimited, connections: list[Limited], app: Application
) -> None:
    address = serve()
    with Connection(address, timeout=60) as busy, Connection(address, timeout=60) as other:
        assert busy.request("GET", "/").body == b"0"
        (first, *_) = connections
        ended = threading.Event()

        def send() -> None:
            busy.send(CHUNKED + LABORIOUS * 4 + chunk())
            ended.set()

        threading.Thread(target=send).start()
        until(lambda: first.flow.held)
        assert other.request("GET", "/").body == b"0"
        assert app.ends == ["complete"] * 2
        assert busy.receive().body == b"200000"
        assert ended.wait(PATIENCE)


def test_what_waits_is_forgotten_with_its_client(serve: ServeLimited, connections: list[Limited]) -> None:
    address = serve()
    with Connection(address) as connection:
        connection.send(CHUNKED + LABORIOUS)
        until(lambda: connections and connections[0].flow.held)
        connection.vanish()
    until(lambda: not connections[0].flow.held)
