# SPDX-License-Identifier: MIT
import asyncio
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ashapp.server.protocols.delivery import CountingTransport, Delivery, counted, has_arrived, queued, unsent
from tests.support.waiting import until

Pair = tuple[socket.socket, socket.socket]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a peer has taken")


class Transport(asyncio.Transport):
    """Holds as much as it is told to, and has written a megabyte in all."""

    closed = 0

    def __init__(self, sock: socket.socket | None, buffered: int = 0, tls: object = None) -> None:
        super().__init__({"socket": sock, "ssl_object": tls})
        self.buffered = buffered
        self.written = 1_000_000

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.buffered += len(data)

    def close(self) -> None:
        self.closed += 1

    def is_closing(self) -> bool:
        return self.closed > 0


def tcp() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return listener.accept()[0], client


@pytest.fixture(params=[tcp, socket.socketpair], ids=["TCP", "UNIX"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A socket whose peer, the second one, reads only what a test reads."""
    ours, theirs = request.param()
    with ours, theirs:
        yield ours, theirs


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken; return how many bytes were."""
    sock.settimeout(0.2)
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(65536))
    except TimeoutError:
        return sent


def settled(delivery: Delivery) -> None:
    """Wait until nothing is on its way any more."""
    until(lambda: delivery.look(1) > 3)


@on_linux
def test_what_is_taken_counts_however_full_the_buffer_is(pair: Pair) -> None:
    ours, theirs = pair
    delivery = Delivery(Transport(ours, buffered=1000))
    sent = fill(ours)
    settled(delivery)
    left = sent
    while left > sent // 2:
        left -= len(theirs.recv(65536))
    until(lambda: delivery.look(1) == 0)
    fill(ours)  # the buffer is as full as before
    settled(delivery)


def test_what_is_handed_over_counts_where_the_kernel_does_not_tell() -> None:
    transport = Transport(None, buffered=500_000)
    delivery = Delivery(transport)
    assert [delivery.look(1) for _ in range(3)] == [0, 1, 2]
    transport.written += 1000
    assert delivery.look(1) == 0
    assert delivery.look(1) == 1
    transport.written += 1000
    transport.buffered += 1000
    assert delivery.look(1) == 2


@on_linux
@pytest.mark.parametrize(("buffered", "tls"), [(0, None), (1, None), (0, object())])
def test_a_delivery_goes_on_until_the_kernel_has_taken_over(pair: Pair, buffered: int, tls: Any) -> None:
    ours, theirs = pair
    transport = Transport(ours, buffered, tls)
    delivery = Delivery(transport)
    assert unsent(transport) == buffered
    sent = fill(ours)
    assert delivery.is_going_on == bool(buffered or tls)
    assert unsent(transport) > buffered
    while sent:
        sent -= len(theirs.recv(65536))
    until(lambda: queued(transport) == 0)
    assert delivery.is_going_on == bool(buffered)


def test_a_socket_that_is_closed_is_no_trouble(pair: Pair) -> None:
    ours, _ = pair
    transport = Transport(ours, buffered=1)
    ours.close()
    assert Delivery(transport).look(1) == 0
    assert (unsent(transport), has_arrived(transport)) == (1, False)


def test_what_the_kernel_does_not_count_is_counted_and_closed_but_once(pair: Pair) -> None:
    transport = Transport(None)
    counting = counted(transport, writes=False)
    counting.write(b"a")
    counting.write(b"bc")
    assert (counting.writes, counting.written, counting.get_write_buffer_size()) == (2, 3, 3)
    for _ in range(2):
        counting.close()
    assert transport.closed == 1
    plain, tls = Transport(pair[0]), Transport(pair[0], tls=object())
    is_told = sys.platform == "linux" and pair[0].family == socket.AF_INET
    assert isinstance(counted(plain, writes=False), CountingTransport) != is_told
    assert isinstance(counted(plain, writes=True), CountingTransport)
    assert isinstance(counted(tls, writes=False), CountingTransport)
