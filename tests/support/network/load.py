# SPDX-License-Identifier: MIT
"""Clients that keep a server busy while something happens to it, and that forgive nothing."""

import asyncio
from collections import Counter
from functools import partial

from tests.support.client import Address
from tests.support.network.clients import Clients
from tests.support.waiting import until

__all__ = ["GET", "POST", "Load"]

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
#: What neither a proxy nor a client may send twice.
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello"


class Load(Clients):
    """Sends requests on some connections until the block ends, the next as soon as one is answered.

    A connection lives until a response says that it ends. Whatever else goes wrong is a failure: a connection
    that is refused, one that ends before the answer is there, and an answer other than 200. *pause* is the
    greatest time in seconds between two requests of a connection.
    """

    def __init__(
        self, address: Address, connections: int = 8, request: bytes = POST, pause: float = 0
    ) -> None:
        super().__init__()
        self.answered = 0
        self.bodies: Counter[bytes] = Counter()
        self._address = address
        self._connections = connections
        self._request = request
        self._pause = pause

    def goes_on(self, requests: int = 100) -> None:
        """Wait until so many more requests have been answered."""
        enough = self.answered + requests
        until(lambda: self.answered >= enough or self.failures)

    async def _run(self) -> None:
        # Not all in step.
        pauses = (self._pause * number / self._connections for number in range(1, self._connections + 1))
        await asyncio.gather(*(self._repeat(partial(self._converse, pause), "Load") for pause in pauses))

    async def _converse(self, pause: float) -> None:
        reader, writer = await asyncio.open_connection(*self._address)
        try:
            is_last = False
            while not is_last and not self._is_over:
                writer.write(self._request)
                is_last = await self._read_response(reader)
                await asyncio.sleep(pause)
        finally:
            writer.transport.abort()

    async def _read_response(self, reader: asyncio.StreamReader) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self.bodies[await reader.readexactly(length)] += 1
        if not head.startswith(b"http/1.1 200 "):
            raise ValueError(head.decode("latin-1").partition("\r\n")[0])
        self.answered += 1
        return b"\r\nconnection: close" in head
