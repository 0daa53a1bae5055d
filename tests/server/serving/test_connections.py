# SPDX-License-Identifier: MIT
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ashapp.server.serving.connections import Connections


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Transport:
    def __init__(self, sock: socket.socket | None) -> None:
        self.sock = sock
        self.aborted = 0
        self.buffered = 0

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def get_extra_info(self, name: str) -> socket.socket | None:
        assert name == "socket"
        return self.sock

    def abort(self) -> None:
        self.aborted += 1


class Cycle:
    def __init__(self, *, started: bool = False, complete: bool = False) -> None:
        self.scope: dict[str, Any] = {}
        self.response_started = started
        self.response_complete = complete
        self.default_headers = [(b"server", b"test")]


class Protocol:
    """uvicorn's protocols, as far as they are looked at."""

    def __init__(self, cycle: Cycle | None = None, sock: socket.socket | None = None) -> None:
        self.cycle = cycle
        self.scope = cycle.scope if cycle else None
        self.transport = Transport(sock)
        self.flow = None
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1


class WebSocket:
    transport = None

    def __init__(self) -> None:
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1


class Stubborn(Protocol):
    """Fails to end."""

    def shutdown(self) -> None:
        raise ValueError


class Parser:
    trailing_data = (b"GET / HT", False)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_responses_that_have_not_begun_are_the_last() -> None:
    waiting, begun, done = Cycle(), Cycle(started=True), Cycle(started=True, complete=True)
    cycles = [waiting, begun, done, None]
    connections = Connections({*map(Protocol, cycles), WebSocket()})
    for _ in range(2):
        connections.announce_end()
    assert waiting.default_headers == [(b"server", b"test"), (b"connection", b"close")]
    assert begun.default_headers == done.default_headers == [(b"server", b"test")]


@pytest.mark.parametrize("cycle", [None, Cycle(started=True, complete=True)])
def test_a_connection_is_closed_when_it_has_been_idle_for_a_while(cycle: Cycle | None) -> None:
    clock = Clock()
    protocol = Protocol(cycle)
    connections = Connections({protocol}, clock)
    for _ in range(5):
        connections.close_idle(1.0)
        clock.now += 0.24
    assert protocol.ended == 0
    connections.close_idle(1.0)
    assert protocol.ended == 1


def test_a_connection_that_is_used_again_is_idle_anew() -> None:
    clock = Clock()
    protocol = Protocol(Cycle(started=True, complete=True))
    connections = Connections({protocol}, clock)
    connections.close_idle(1.0)
    assert protocol.cycle is not None
    protocol.cycle.response_complete = False
    clock.now += 2
    connections.close_idle(1.0)
    protocol.cycle.response_complete = True
    clock.now += 2
    connections.close_idle(1.0)
    assert protocol.ended == 0


def test_a_request_of_which_a_part_has_been_read_is_waited_for() -> None:
    first, next_, by_h11 = Protocol(), Protocol(Cycle(complete=True)), Protocol()
    first.scope = {}
    next_.scope = {}
    by_h11.conn = Parser()  # type: ignore[attr-defined]
    Connections({first, next_, by_h11}).close_idle(0)
    assert [protocol.ended for protocol in (first, next_, by_h11)] == [0, 0, 0]


def test_a_request_that_the_kernel_has_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    protocol = Protocol(sock=ours)
    connections = Connections({protocol})
    theirs.send(b"GET")
    connections.close_idle(0)
    assert protocol.ended == 0
    ours.recv(3)
    connections.close_idle(0)
    assert protocol.ended == 1


def test_a_connection_that_has_just_been_closed_is_no_trouble(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, _ = pair
    protocol = Protocol(sock=ours)
    ours.close()
    Connections({protocol}).close_idle(0)
    assert protocol.ended == 1


def test_a_request_that_comes_while_others_are_closed_is_waited_for() -> None:
    class Late(Protocol):
        """Sends a request while another connection is closed."""

        def shutdown(self) -> None:
            super().shutdown()
            for sock in theirs:
                sock.send(b"GET")

    pairs = [socket.socketpair() for _ in range(10)]
    theirs = [their for _, their in pairs]
    protocols = [Late(sock=ours) for ours, _ in pairs]
    Connections(set(protocols)).close_idle(0)
    assert sum(protocol.ended for protocol in protocols) == 1
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


def test_a_client_that_has_not_taken_all_is_waited_for(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    protocol = Protocol(Cycle(started=True, complete=True), ours)
    connections = Connections({protocol})
    protocol.transport.buffered = 1
    connections.close_idle(0)
    protocol.transport.buffered = 0
    if sys.platform == "linux":
        ours.send(b"tail")
        connections.close_idle(0)
        theirs.recv(4)
    assert protocol.ended == 0
    connections.close_idle(0)
    assert protocol.ended == 1


def test_one_that_fails_to_end_is_aborted_and_hinders_no_other(caplog: pytest.LogCaptureFixture) -> None:
    stubborn, other = Stubborn(), Protocol()
    Connections({stubborn, other}).close_idle(0)
    assert (stubborn.transport.aborted, other.ended) == (1, 1)
    assert caplog.messages == ["A connection could not be ended in order: aborted"]


def test_other_protocols_are_told_once_to_end() -> None:
    protocol = WebSocket()
    connections = Connections({protocol})
    connections.close_idle(60)
    connections.close_idle(60)
    assert protocol.ended == 1


def test_what_is_left_is_aborted() -> None:
    protocol = Protocol(Cycle())
    Connections({protocol, WebSocket()}).abort()
    assert protocol.transport.aborted == 1
