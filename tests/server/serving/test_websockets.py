# SPDX-License-Identifier: MIT
"""The end of a server, and of a worker, that has WebSockets open."""

import asyncio
import signal
import time
from collections import Counter

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.process import ServerProcess, serving

_APPLICATION = "tests.support.applications.sockets:app"
_NUMBER = 40
_SECONDS = 4


async def _stay(url: str, arrived: asyncio.Semaphore) -> tuple[str, int | None, float]:
    """Return which process serves a WebSocket, and the code and the time of its end."""
    async with connect(url, proxy=None) as client:
        process = await client.recv()
        arrived.release()
        await client.wait_closed()
        return str(process), client.close_code, time.monotonic()


async def _end(server: ServerProcess, signum: int) -> tuple[list[tuple[str, int | None, float]], float]:
    """Open WebSockets, send the signal, and return how they have ended, and when it was sent."""
    url = server.base_url.replace("http", "ws")
    arrived = asyncio.Semaphore(0)
    stays = [asyncio.create_task(_stay(url, arrived)) for _ in range(_NUMBER)]
    for _ in stays:
        await arrived.acquire()
    sent = time.monotonic()
    server.process.send_signal(signum)
    async with asyncio.timeout(60):
        if signum == signal.SIGTERM:
            server.wait_for_log("Not ready any more")
            with pytest.raises(InvalidStatus) as raised:
                await connect(url, proxy=None)
            assert raised.value.response.status_code == 503
        return await asyncio.gather(*stays), sent


@pytest.mark.parametrize(("signum", "options"), [("SIGTERM", []), ("SIGHUP", ["--workers", "2"])])
def test_websockets_leave_one_after_the_other(signum: str, options: list[str]) -> None:
    """At the end of a service, and where a worker retires: then all find the next one."""
    with serving([_APPLICATION, "--drain-delay", str(_SECONDS), *options]) as server:
        ends, sent = asyncio.run(_end(server, getattr(signal, signum)))
        assert {code for _, code, _ in ends} == {1012}
        if options:
            url = server.base_url.replace("http", "ws")
            processes = {process for process, _, _ in ends}
            assert asyncio.run(_first_message(url)) not in processes
    begin = min(when for _, _, when in ends)
    per_second = Counter(int(when - begin) for _, _, when in ends)
    assert max(per_second.values()) <= _NUMBER / 3
    assert options or max(when for _, _, when in ends) - sent < _SECONDS + 2


async def _first_message(url: str) -> str:
    async with connect(url, proxy=None) as client:
        return str(await client.recv())
