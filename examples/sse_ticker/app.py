# SPDX-License-Identifier: MIT
"""A ticker: server-sent events for thousands of browsers, none of which holds a thread."""

import asyncio
import itertools
import time

import flask

from ashapp import Event, sse

INTERVAL = 0.5

app = flask.Flask(__name__)

PAGE = """<!doctype html>
<html lang="en">
<title>Ticker</title>
<h1 id="price">…</h1>
<script>
  const ticks = new EventSource("/ticks");
  ticks.onmessage = (event) => { price.textContent = JSON.parse(event.data).price; };
</script>
"""


@app.get("/")
def page():
    return PAGE


@app.get("/ticks")
async def ticks():
    async def since(last_id):
        # A browser that was cut off comes back by itself, and tells what it has seen last.
        now = int(time.time() / INTERVAL)
        recent = {str(number): number for number in range(now - 100, now + 1)}
        for number in itertools.count(recent.get(last_id, now) + 1):
            await asyncio.sleep(number * INTERVAL - time.time())
            yield Event({"price": 100 + number * 7919 % 17}, id=str(number))

    return sse(since, retry=2)
