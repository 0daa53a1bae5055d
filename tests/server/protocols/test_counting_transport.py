# SPDX-License-Identifier: MIT
import asyncio

from ashapp.server.protocols.counting_transport import CountingTransport


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__({"peername": "client"})
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(data)


def test_writes_are_counted_and_all_else_is_passed_on() -> None:
    transport = Transport()
    counting = CountingTransport(transport)
    counting.write(b"a")
    counting.write(b"b")
    assert (counting.writes, transport.written) == (2, [b"a", b"b"])
    assert counting.get_extra_info("peername") == "client"
