# SPDX-License-Identifier: MIT
import asyncio
import json

import httpx
import pytest

from tests.examples.conftest import Start
from tests.support.process import ServerProcess

# Several times as many as there are threads.
BROWSERS = 200


@pytest.fixture(scope="module")
def server(start: Start) -> ServerProcess:
    return start("sse_ticker")


async def listen(client: httpx.AsyncClient, events: int, last_id: str = "") -> list[tuple[int, int]]:
    """Return the ids and prices of so many events."""
    seen: list[tuple[int, int]] = []
    number = 0
    async with client.stream(
        "GET", "/ticks", headers={"Last-Event-ID": last_id} if last_id else {}
    ) as answer:
        async for line in answer.aiter_lines():
            name, _, value = line.partition(": ")
            if name == "id":
                number = int(value)
            if name == "data":
                seen.append((number, json.loads(value)["price"]))
            if len(seen) == events:
                break
    return seen


async def test_200_browsers_see_the_same_and_one_that_comes_back_misses_nothing(
    server: ServerProcess,
) -> None:
    limits = httpx.Limits(max_connections=BROWSERS)
    async with httpx.AsyncClient(base_url=server.base_url, limits=limits, timeout=50) as client:
        heard = await asyncio.gather(*(listen(client, 3) for _ in range(BROWSERS)))
        assert [each for each in heard if each[2][0] - each[0][0] != 2] == []
        prices = dict(tick for each in heard for tick in each)
        assert all(prices[number] == price for each in heard for number, price in each)
        first = min(prices)
        again = await listen(client, 3, str(first))
    assert [number for number, _ in again] == [first + 1, first + 2, first + 3]


def test_the_page_listens(server: ServerProcess) -> None:
    assert 'new EventSource("/ticks")' in httpx.get(server.base_url).text
