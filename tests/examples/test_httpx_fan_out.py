# SPDX-License-Identifier: MIT
import asyncio

import httpx
import pytest

from tests.examples.conftest import Start
from tests.support.process import ServerProcess, free_port


@pytest.fixture(scope="module")
def server(start: Start) -> ServerProcess:
    port = free_port()
    return start("httpx_fan_out", ASHAPP_PORT=str(port), SHOPS=f"http://127.0.0.1:{port}/shops")


async def test_30_visitors_at_once_have_600_questions(server: ServerProcess) -> None:
    async with httpx.AsyncClient(base_url=server.base_url, timeout=50) as client:
        answers = await asyncio.gather(*(client.get(f"/cheapest/{item}") for item in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    for item, answer in enumerate(answers):
        offers = [(100 + (shop * 7 + item) % 20, shop) for shop in range(20)]
        assert answer.json()["price"] == min(offers)[0]
