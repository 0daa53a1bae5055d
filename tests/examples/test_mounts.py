# SPDX-License-Identifier: MIT
import asyncio

import httpx
import pytest
from mcp import Client

from tests.examples.conftest import Start
from tests.support.process import ServerProcess


@pytest.fixture(scope="module")
def server(start: Start) -> ServerProcess:
    return start("mounts")


async def test_many_agents_at_once_list_and_call_the_tool(server: ServerProcess) -> None:
    async def ask(cups: int) -> None:
        async with Client(f"{server.base_url}/mcp/") as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == ["total"]
            result = await client.call_tool("total", {"items": ["tea"] * cups + ["coffee"]})
            assert result.structured_content == {"result": 3 * cups + 4}

    await asyncio.gather(*map(ask, range(10)))


def test_the_lifespan_of_fastapi_has_run(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.base_url) as client:
        assert client.get("/v2/prices/tea").json() == {"item": "tea", "price": 1.5}
        assert client.get("/v2/prices/beer").status_code == 404
        assert client.get("/v2/openapi.json").json()["servers"] == [{"url": "/v2"}]
        assert "tea: 3" in client.get("/").text
