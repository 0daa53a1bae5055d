# SPDX-License-Identifier: MIT
import socket
from types import SimpleNamespace

from ashapp.server.serving.connections import Connections


class Protocol:
    """An idle connection of uvicorn's, as far as it is looked at, whose end lets requests come to all."""

    cycle = scope = None

    def __init__(
        self, pair: tuple[socket.socket, socket.socket], pairs: list[tuple[socket.socket, socket.socket]]
    ) -> None:
        self.flow = SimpleNamespace(held=False)
        self.transport = SimpleNamespace(
            get_write_buffer_size=lambda: 0, get_extra_info=lambda name: {"socket": pair[0]}[name]
        )
        self.pairs = pairs
        self.ended = 0

    def shutdown(self) -> None:
        self.ended += 1
        for _, theirs in self.pairs:
            theirs.send(b"GET")


def test_a_request_that_comes_while_others_are_closed_is_waited_for() -> None:
    pairs = [socket.socketpair() for _ in range(10)]
    protocols = [Protocol(pair, pairs) for pair in pairs]
    Connections(set(protocols)).close_idle(0)
    assert sum(protocol.ended for protocol in protocols) == 1
    for sock in (sock for pair in pairs for sock in pair):
        sock.close()


def test_what_is_received_and_not_taken_in_yet_is_waited_for() -> None:
    pair = socket.socketpair()
    protocol = Protocol(pair, [])
    connections = Connections({protocol})
    for protocol.flow.held in (True, False):
        connections.close_idle(0)
        assert protocol.ended == (not protocol.flow.held)
    for sock in pair:
        sock.close()
