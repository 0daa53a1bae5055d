# SPDX-License-Identifier: MIT
"""FastAPI, Starlette's static files and an MCP server, mounted in a Flask application by the command line."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from mcp import Client
from websockets.sync.client import connect

from tests.support import process
from tests.support.process import ServerProcess, serving

SHOP = """
from contextlib import asynccontextmanager

import fastapi, flask
from mcp.server import MCPServer
from starlette.applications import Starlette
from starlette.routing import Mount, WebSocketRoute
from starlette.staticfiles import StaticFiles

app = flask.Flask("shop")
app.secret_key = "2fd0a5c1e8b947632fd0a5c1e8b94763"
app.add_url_rule("/where", view_func=lambda: flask.request.path)


@asynccontextmanager
async def lifespan(api):
    yield {"pool": "open"}


api = fastapi.FastAPI(lifespan=lifespan, debug=True)


@api.get("/price/{item}")
async def price(item: int, request: fastapi.Request):
    return {"item": item, "pool": request.state.pool, "link": str(request.url_for("price", item=item))}


async def echo(socket):
    await socket.accept()
    await socket.send_text("mounted " + await socket.receive_text())
    await socket.close(4000)


files = Starlette(routes=[WebSocketRoute("/echo", echo), Mount("/files", StaticFiles(directory="files"))])
tools = MCPServer("shop")


@tools.tool()
async def total(prices: list[int]) -> int:
    return sum(prices)


def make_tools():
    return tools.streamable_http_app(streamable_http_path="/", json_response=True)
"""
MOUNTS = ["--mount", "/v2=shop:api", "--mount", "/static-files=shop:files", "--mount", "/mcp=shop:make_tools"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP, encoding="utf-8")
    (folder / "files").mkdir()
    (folder / "files" / "page.txt").write_text("0123456789", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    with serving(["shop", *MOUNTS], cwd=folder, env={"ASHAPP_LOG_FORMAT": "json"}) as server:
        yield server


def test_fastapi_below_a_prefix(client: httpx.Client, server: ServerProcess) -> None:
    answer = client.get("/v2/price/7").json()
    assert answer == {"item": 7, "pool": "open", "link": f"{server.base_url}/v2/price/7"}
    assert client.get("/v2/openapi.json").json()["servers"] == [{"url": "/v2"}]
    assert client.get("/v2/price/x").status_code == 422
    assert client.get("/where").text == "/where"
    line = json.loads(server.wait_for_log(r'.*"/v2/price/7".*')[0])
    assert (line["route"], line["place"]) == ("/v2", "loop")
    server.wait_for_log("FastAPI within shop sets debug, but 'serve' never runs in debug mode: it is off")


def test_static_files_and_a_websocket_of_starlette(client: httpx.Client, server: ServerProcess) -> None:
    part = client.get("/static-files/files/page.txt", headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.text) == (206, "234")
    assert client.get("/static-files/files/none.txt").status_code == 404
    url = server.base_url.replace("http", "ws")
    with connect(f"{url}/static-files/echo") as socket:
        socket.send("hello")
        assert socket.recv() == "mounted hello"


async def test_an_mcp_client_calls_a_tool(server: ServerProcess) -> None:
    async with Client(f"{server.base_url}/mcp/") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["total"]
        result = await client.call_tool("total", {"prices": [1, 2, 3]})
    assert result.structured_content == {"result": 6}


def test_routes_tells_what_is_mounted(folder: Path) -> None:
    command = [*process.SERVE[:-1], "routes", "shop"]
    done = process.run(
        command=command, cwd=folder, env={"ASHAPP_MOUNT": "/v2=shop:api, /mcp=shop:make_tools"}
    )
    assert done.stdout.splitlines()[:2] == [
        "Mounted below /v2: shop:api",
        "Mounted below /mcp: shop:make_tools",
    ]
