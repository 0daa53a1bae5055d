# SPDX-License-Identifier: MIT
"""The cheapest offer: one request asks many shops at once, and none holds a thread while it waits."""

import asyncio
import os
from contextlib import asynccontextmanager

import flask
import httpx

# Where the shops are; as long as you have none, they are in this application.
SHOPS = os.environ.get("SHOPS", "http://127.0.0.1:5000/shops")

# Requests queue here, and not in httpx, whose pool has 100 connections and searches its queue each time.
turns = asyncio.Semaphore(100)

app = flask.Flask(__name__)


@asynccontextmanager
async def lifespan(app):
    # One client for the life of the worker: its connections are used again.
    async with httpx.AsyncClient(timeout=5) as client:
        app.extensions["shops"] = client
        yield


app.lifespan = lifespan


async def ask(shop, item):
    try:
        async with turns:
            answer = await app.extensions["shops"].get(f"{SHOPS}/{shop}/{item}")
            return answer.raise_for_status().json()
    except httpx.HTTPError as error:
        app.logger.warning("Shop %s: %r", shop, error)
        return None


@app.get("/cheapest/<int:item>")
async def cheapest(item):
    answers = await asyncio.gather(*(ask(shop, item) for shop in range(20)))
    offers = [offer for offer in answers if offer]
    if not offers:
        return {"error": "no shop has answered"}, 502
    return {"asked": len(answers), "answered": len(offers), **min(offers, key=lambda offer: offer["price"])}


@app.get("/shops/<int:shop>/<int:item>")
async def offer(shop, item):
    await asyncio.sleep(0.3)
    return {"shop": shop, "price": 100 + (shop * 7 + item) % 20}
