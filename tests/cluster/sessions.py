# SPDX-License-Identifier: MIT
"""Clients that stay connected: WebSockets, and streams with an end and without one.

A service that ends tells them to leave, in order, and they come back at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from tests.support.client import Address
from tests.support.network.clients import Clients

__all__ = ["Sessions"]

#: What /stream of the application sends.
STREAM = "".join(f"{number}\n" for number in range(12))


class Sessions(Clients):
    """Holds so many WebSockets, endless streams of events and streams of six seconds, until the block ends.

    A failure is whatever does not end as it should: a handshake that is refused, a WebSocket that is closed
    with another code than that of a service that restarts, a stream that is cut off, a lost event.
    """

    errors = (OSError, httpx.HTTPError, WebSocketException, ValueError)

    def __init__(self, address: Address, each: int = 8) -> None:
        super().__init__()
        self.messages = 0
        self.events = 0
        self.streams = 0
        self.departures = 0
        self._authority = f"{address[0]}:{address[1]}"
        self._each = each

    async def _run(self) -> None:
        sessions = {"converse": self._converse, "listen": self._listen, "read": self._read}
        each = list(sessions.items()) * self._each
        await asyncio.gather(*(self._repeat(session, name) for name, session in each))

    async def _converse(self) -> None:
        async with connect(f"ws://{self._authority}/ws", proxy=None) as ws:
            try:
                while not self._is_over:
                    await ws.send("hello")
                    if json.loads(await ws.recv())[1] != "hello":
                        raise ValueError("another message came back")
                    self.messages += 1
                    await asyncio.sleep(0.1)
            except ConnectionClosed as closed:
                if closed.rcvd is None or closed.rcvd.code != CloseCode.SERVICE_RESTART:
                    raise
                self.departures += 1

    async def _listen(self) -> None:
        last = 0
        while not self._is_over:
            async with self._get("/events", {"Last-Event-ID": str(last)}) as response:
                async for line in response.raise_for_status().aiter_lines():
                    if line.startswith("id: "):
                        last += 1
                        self.events += 1
                        if line != f"id: {last}":
                            raise ValueError(f"{line!r} in the place of event {last}")
                    if self._is_over:
                        return
            self.departures += 1

    async def _read(self) -> None:
        async with self._get("/stream", {}) as response:
            if (text := (await response.raise_for_status().aread()).decode()) != STREAM:
                raise ValueError(f"{text!r} in the place of a stream")
        self.streams += 1

    @asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[httpx.Response]:
        async with (
            httpx.AsyncClient(
                base_url=f"http://{self._authority}", trust_env=False, verify=False, timeout=30
            ) as client,
            client.stream("GET", path, headers=headers) as response,
        ):
            yield response
