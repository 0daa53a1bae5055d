# SPDX-License-Identifier: MIT
"""A shop by Flask, with an MCP server for agents and an API of FastAPI beside it, in one process."""

from contextlib import asynccontextmanager

import fastapi
import flask
from mcp.server import MCPServer

PRICES = {"coffee": 4, "tea": 3}

app = flask.Flask(__name__)


@app.get("/")
def shop():
    return "".join(f"<p>{item}: {price} €</p>" for item, price in PRICES.items())


tools = MCPServer("shop")


@tools.tool()
async def total(items: list[str]) -> int:
    """Return what some items cost together, in euros."""
    return sum(PRICES[item] for item in items)


def make_tools():
    # Without sessions, any worker can answer.
    return tools.streamable_http_app(streamable_http_path="/", stateless_http=True)


@asynccontextmanager
async def lifespan(_api):
    yield {"discount": 0.5}  # a pool of connections, say


api = fastapi.FastAPI(title="Shop", lifespan=lifespan)


@api.get("/prices/{item}")
async def price(item: str, request: fastapi.Request):
    if item not in PRICES:
        raise fastapi.HTTPException(404, f"there is no {item}")
    return {"item": item, "price": PRICES[item] * request.state.discount}
