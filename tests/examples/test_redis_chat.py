# SPDX-License-Identifier: MIT
import asyncio
from collections import Counter

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.examples.conftest import Start
from tests.support.process import ServerProcess

GUESTS = 150
ROOMS = 3


@pytest.fixture(scope="module")
def server(start: Start, redis_url: str) -> ServerProcess:
    return start("redis_chat", REDIS_URL=redis_url)


async def enter(server: ServerProcess, guest: int) -> tuple[ClientConnection, str]:
    """Return the socket of a guest, and the process that serves it."""
    url = server.base_url.replace("http", "ws")
    socket = await connect(f"{url}/rooms/{guest % ROOMS}?name={guest}", proxy=None, open_timeout=50)
    welcome = await socket.recv()
    return socket, str(welcome).split()[2]


async def test_each_guest_of_a_room_hears_all_of_it_in_both_workers(server: ServerProcess) -> None:
    entered = await asyncio.gather(*(enter(server, guest) for guest in range(GUESTS)))
    workers = Counter(process for _, process in entered)
    assert len(workers) == 2, workers
    sockets = [socket for socket, _ in entered]
    # One of each room has left before, which must not keep the others from hearing.
    await asyncio.gather(*(socket.close() for socket in sockets[:ROOMS]))
    for number in range(ROOMS, 4 * ROOMS):
        await sockets[number].send("hello")
    for guest, socket in enumerate(sockets[ROOMS:], ROOMS):
        heard = {str(await asyncio.wait_for(socket.recv(), 20)) for _ in range(3)}
        room = guest % ROOMS
        assert heard == {f"{ROOMS * turn + room}: hello" for turn in (1, 2, 3)}
    await asyncio.gather(*(socket.close() for socket in sockets))
    assert '"level": "error"' not in server.stderr
