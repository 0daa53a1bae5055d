# SPDX-License-Identifier: MIT
"""What the test rolls out: its answers tell which image has given them."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from typing import NoReturn

from flask import Flask, Response, request

from ashapp import Event, WebSocket, readiness_check, sse, websocket

GENERATION = os.environ["GENERATION"]

app = Flask(__name__)


@app.post("/")
def generation() -> str:
    request.get_data()
    return GENERATION


@app.get("/slow")
def slow() -> str:
    time.sleep(8)
    return GENERATION


@app.get("/async")
async def generation_without_a_thread() -> str:
    await asyncio.sleep(0.2)
    return GENERATION


@app.get("/stream")
async def stream() -> AsyncIterator[str]:
    for number in range(12):
        yield f"{number}\n"
        await asyncio.sleep(0.5)


@app.get("/events")
async def events() -> Response:
    async def count(last: str | None) -> AsyncIterator[Event]:
        for number in itertools.count(int(last or 0) + 1):
            yield Event(GENERATION, id=str(number))
            await asyncio.sleep(0.5)

    return sse(count, retry=0.1)


@websocket(app, "/ws")
async def echo(ws: WebSocket) -> None:
    async for message in ws:
        await ws.send_json([GENERATION, message])


@app.post("/crash")
def crash() -> NoReturn:
    os._exit(3)


@readiness_check("generation")
def is_ready() -> bool:
    return GENERATION != "unready"
