# SPDX-License-Identifier: MIT
import asyncio
import json
from collections import Counter
from typing import Self

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.examples.conftest import EXAMPLES, Start, command
from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

# More than a worker has threads, in two rooms.
CLIENTS = 100


class Guest:
    """A client of Socket.IO, by its frames (Engine.IO protocol 4, Socket.IO protocol 5)."""

    def __init__(self, number: int, socket: ClientConnection) -> None:
        self.room = f"room {number % 2}"
        self.process = 0
        self._socket = socket

    @classmethod
    async def enter(cls, url: str, number: int) -> Self:
        url = f"{url}/socket.io/?EIO=4&transport=websocket"
        guest = cls(number, await connect(url, proxy=None, open_timeout=50))
        await guest._receive("0{")
        await guest._socket.send("40")
        await guest._receive("40{")
        await guest._socket.send(f"421{json.dumps(['enter', guest.room])}")
        guest.process = json.loads(await guest._receive("431"))[0]["process"]
        return guest

    async def say(self, text: str) -> None:
        await self._socket.send(f"42{json.dumps(['say', self.room, text])}")

    async def heard(self, count: int) -> list[str]:
        """Return the next *count* events that it hears, sorted."""
        return sorted([await self._receive("42") for _ in range(count)])

    async def close(self) -> None:
        await self._socket.close()

    async def _receive(self, begin: str) -> str:
        async with asyncio.timeout(50):
            while not (frame := str(await self._socket.recv())).startswith(begin):
                if frame == "2":
                    await self._socket.send("3")
        return frame.removeprefix(begin)


@pytest.fixture(scope="module")
def server(start: Start, redis_url: str) -> ServerProcess:
    return start("socketio_workers", REDIS_URL=redis_url)


async def test_what_is_said_in_a_room_reaches_it_in_both_workers(server: ServerProcess) -> None:
    url = server.base_url.replace("http", "ws")
    guests = await asyncio.gather(*(Guest.enter(url, number) for number in range(CLIENTS)))
    workers = Counter(guest.process for guest in guests)
    assert len(workers) == 2, workers
    for number, guest in enumerate(guests[:4]):
        await guest.say(str(number))
    async with httpx.AsyncClient(base_url=server.base_url) as client:
        assert (await client.post("/announce", json="closing")).status_code == 204
    for number, guest in enumerate(guests):
        texts = (str(number % 2), str(number % 2 + 2))
        said = [["said", {"room": guest.room, "text": text}] for text in texts]
        expected = sorted(
            json.dumps(event, separators=(",", ":")) for event in [["announced", "closing"], *said]
        )
        assert await guest.heard(3) == expected
    await asyncio.gather(*(guest.close() for guest in guests))
    assert '"level": "error"' not in server.stderr


def test_the_client_of_the_readme(server: ServerProcess) -> None:
    line = command("python client.py lobby hello")
    folder = EXAMPLES / "socketio_workers"
    with serving(command=line, cwd=folder, env={"URL": server.base_url}, listens=False) as client:
        until(lambda: "lobby: hello" in client.stdout)
