# SPDX-License-Identifier: MIT
import asyncio

from ashapp.server.protocols.connection.counting_transport import CountingTransport


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": "client"})
        self.written: list[bytes] = []
        self.closed = 0

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)

    def close(self) -> None:
        self.closed += 1

    def is_closing(self) -> bool:
        return self.closed > 0


def test_writes_are_counted_and_all_else_is_passed_on() -> None:
    transport = Transport()
    counting = CountingTransport(transport)
    counting.write(b"a")
    counting.write(b"bc")
    assert (counting.writes, counting.written, transport.written) == (2, 3, [b"a", b"bc"])
    assert counting.get_extra_info("peername") == "client"


def test_it_is_closed_but_once() -> None:
    transport = Transport()
    counting = CountingTransport(transport)
    for _ in range(2):
        counting.close()
    assert transport.closed == 1
