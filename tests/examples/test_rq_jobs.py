# SPDX-License-Identifier: MIT
import asyncio
import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.examples.conftest import Start, example
from tests.support.process import ServerProcess

# More than there are threads.
ORDERS = 60


@pytest.fixture(scope="module")
def server(start: Start, redis_url: str) -> ServerProcess:
    return start("rq_jobs", REDIS_URL=redis_url)


@pytest.fixture(scope="module")
def worker(redis_url: str) -> Iterator[ServerProcess]:
    with example("rq_jobs", 1, listens=False, REDIS_URL=redis_url) as worker:
        yield worker


async def test_each_order_gets_its_own_result(server: ServerProcess, worker: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.base_url, timeout=50) as client:
        answers = await asyncio.gather(*(client.post(f"/reports/{limit}") for limit in range(ORDERS)))
        assert {answer.status_code for answer in answers} == {202}
        results = [await finished(client, answer.headers["Location"]) for answer in answers[:12]]
    assert results == [0, 0, 0, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    assert worker.process.poll() is None


async def finished(client: httpx.AsyncClient, path: str) -> int:
    async with asyncio.timeout(50):
        while (report := (await client.get(path)).json())["status"] != "finished":
            assert report["status"] in {"queued", "started"}
            await asyncio.sleep(0.05)
    primes: int = report["primes"]
    return primes


def test_a_report_that_nobody_has_ordered(server: ServerProcess) -> None:
    assert httpx.get(f"{server.base_url}/reports/{uuid.uuid4()}").status_code == 404
