# SPDX-License-Identifier: MIT
"""The end of a server, and of a worker, that has WebSockets open."""

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass

import pytest
from websockets.asyncio.client import connect

from tests.support.process import ServerProcess, serving
from tests.support.waiting import until

_APPLICATION = "tests.support.applications.sockets:app"
_NUMBER = 40
_SECONDS = 4


@dataclass(frozen=True)
class Stay:
    """A WebSocket: which process has served it, how and when it has ended, and which serves the next one."""

    process: str
    code: int | None
    end: float
    next_process: str


async def _stay(url: str, arrived: asyncio.Semaphore, *, comes_back: bool) -> Stay:
    async with connect(url, proxy=None) as client:
        process = await client.recv()
        arrived.release()
        await client.wait_closed()
    end = time.monotonic()
    return Stay(str(process), client.close_code, end, await _first_message(url) if comes_back else "")


async def _first_message(url: str) -> str:
    async with connect(url, proxy=None) as client:
        return str(await client.recv())


async def _end(server: ServerProcess, signum: int) -> tuple[list[Stay], float]:
    """Open WebSockets, send the signal, and return how they have ended, and when it was sent."""
    comes_back = signum == signal.SIGHUP
    url = server.base_url.replace("http", "ws")
    arrived = asyncio.Semaphore(0)
    stays = [asyncio.create_task(_stay(url, arrived, comes_back=comes_back)) for _ in range(_NUMBER)]
    for _ in stays:
        await arrived.acquire()
    sent = time.monotonic()
    server.process.send_signal(signum)
    async with asyncio.timeout(60):
        if signum == signal.SIGTERM:
            server.wait_for_log("Not ready any more")
            stays.append(asyncio.create_task(_stay(url, arrived, comes_back=False)))
        return await asyncio.gather(*stays), sent


@pytest.mark.parametrize(("signum", "workers"), [("SIGTERM", 1), ("SIGHUP", 3)])
def test_websockets_leave_one_after_the_other(signum: str, workers: int) -> None:
    """At the end of a service, who comes late too; where workers are replaced, they find another one."""
    options = ["--drain-delay", str(_SECONDS), "--workers", str(workers)]
    with serving([_APPLICATION, *options]) as server:
        until(lambda: server.stderr.count("Application startup complete") == workers)
        stays, sent = asyncio.run(_end(server, getattr(signal, signum)))
    assert {stay.code for stay in stays} == {1012}
    processes = {stay.process for stay in stays}
    assert not processes.intersection(stay.next_process for stay in stays)
    begin = min(stay.end for stay in stays)
    per_second = Counter(int(stay.end - begin) for stay in stays)
    assert max(per_second.values()) <= _NUMBER / 3
    assert signum == "SIGHUP" or max(stay.end for stay in stays) - sent < _SECONDS + 2
