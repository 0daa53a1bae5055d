# SPDX-License-Identifier: MIT
import socket
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ashapp.server.serving.connections import Connections


class Transport:
    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock
        self.aborted = self.buffered = 0

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_extra_info(self, name: str) -> socket.socket | None:
        assert name == "socket"
        return self.sock

    def abort(self) -> None:
        self.aborted += 1


class Cycle:
    def __init__(self, *, started: bool = True, complete: bool = True) -> None:
        self.scope: dict[str, Any] = {}
        self.response_started, self.response_complete = started, complete
        self.default_headers = [(b"server", b"test")]


class Protocol:
    """uvicorn's protocols, as far as they are looked at."""

    def __init__(self, cycle: Cycle | None = None, sock: socket.socket | None = None) -> None:
        self.cycle = cycle
        self.scope = cycle.scope if cycle else None
        self.transport = Transport(sock)
        self.flow = SimpleNamespace(held=False)
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1


class WebSocket:
    transport = None

    def __init__(self) -> None:
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_responses_that_have_not_begun_are_the_last() -> None:
    waiting, begun, done = Cycle(started=False, complete=False), Cycle(complete=False), Cycle()
    connections = Connections({*map(Protocol, [waiting, begun, done, None]), WebSocket()})
    for _ in range(2):
        connections.announce_end()
    assert waiting.default_headers == [(b"server", b"test"), (b"connection", b"close")]
    assert begun.default_headers == done.default_headers == [(b"server", b"test")]


@pytest.mark.parametrize("cycle", [None, Cycle()])
def test_a_connection_is_closed_when_it_has_been_idle_for_a_while(cycle: Cycle | None) -> None:
    now = 100.0
    protocol = Protocol(cycle)
    connections = Connections({protocol}, lambda: now)
    for _ in range(5):
        connections.close_idle(1.0)
        now += 0.24
    if cycle is not None:  # one that is used again is idle anew
        for is_complete in (False, True):
            cycle.response_complete = is_complete
            now += 2
            connections.close_idle(1.0)
        now += 1
    assert protocol.ended == 0
    connections.close_idle(1.0)
    assert protocol.ended == 1


#: What keeps a connection open: how it begins, and how it ends. The sockets are ours and the client's.
KEPT: dict[str, tuple[Callable[..., object], Callable[..., object]]] = {
    "a part of the first request": (lambda p, *_: set_(p, scope={}), lambda p, *_: set_(p, scope=None)),
    "a part of the next one": (
        lambda p, *_: set_(p, cycle=Cycle(), scope={}),
        lambda p, *_: set_(p, scope=p.cycle.scope),
    ),
    "a part that h11 keeps": (
        lambda p, *_: set_(p, conn=SimpleNamespace(trailing_data=(b"GET / HT", False))),
        lambda p, *_: delattr(p, "conn"),
    ),
    "a response": (lambda p, *_: set_(p, cycle=Cycle(complete=False)), lambda p, *_: set_(p, cycle=None)),
    "what is taken in by turns": (
        lambda p, *_: set_(p.flow, held=True),
        lambda p, *_: set_(p.flow, held=False),
    ),
    "what is buffered": (
        lambda p, *_: set_(p.transport, buffered=1),
        lambda p, *_: set_(p.transport, buffered=0),
    ),
    "what has arrived": (lambda _, __, theirs: theirs.send(b"GET"), lambda _, ours, __: ours.recv(3)),
    "what was not taken": (lambda _, ours, __: ours.send(b"tail"), lambda _, __, theirs: theirs.recv(4)),
}


def set_(target: object, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


@pytest.mark.parametrize("kept", KEPT)
def test_what_goes_on_is_waited_for(kept: str, pair: tuple[socket.socket, socket.socket]) -> None:
    if kept == "what was not taken" and sys.platform != "linux":
        pytest.skip("only Linux tells")
    protocol = Protocol(sock=pair[0])
    connections = Connections({protocol})
    begin, end = KEPT[kept]
    begin(protocol, *pair)
    connections.close_idle(0)
    assert protocol.ended == 0
    end(protocol, *pair)
    connections.close_idle(0)
    assert protocol.ended == 1


def test_a_connection_that_has_just_been_closed_is_no_trouble(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    protocol = Protocol(sock=pair[0])
    pair[0].close()
    Connections({protocol}).close_idle(0)
    assert protocol.ended == 1


def test_a_request_that_comes_while_others_are_closed_is_waited_for() -> None:
    class Late(Protocol):
        """Sends a request while another connection is closed."""

        def shutdown(self) -> None:
            super().shutdown()
            for _, theirs in pairs:
                theirs.send(b"GET")

    pairs = [socket.socketpair() for _ in range(10)]
    protocols = [Late(sock=ours) for ours, _ in pairs]
    Connections(set(protocols)).close_idle(0)
    assert sum(protocol.ended for protocol in protocols) == 1
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


def test_one_that_fails_to_end_is_aborted_and_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Protocol):
        def shutdown(self) -> None:
            raise ValueError

    stubborn, other, websocket = Stubborn(), Protocol(), WebSocket()
    connections = Connections({stubborn, other, websocket})
    connections.close_idle(0)
    assert (stubborn.transport.aborted, other.ended) == (1, 1)
    assert caplog.messages == ["A connection could not be ended in order: aborted"]
    connections.close_idle(60)
    assert websocket.ended == 1, "other protocols are told once"
    connections.abort()
    assert (stubborn.transport.aborted, other.transport.aborted) == (2, 1)
