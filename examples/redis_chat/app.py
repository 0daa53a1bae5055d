# SPDX-License-Identifier: MIT
"""A chat: rooms over WebSockets, whose guests meet in Redis, whichever worker has them."""

import asyncio
import os

import flask
from redis.asyncio import Redis

from ashapp import websocket

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
# Each guest has a connection of his own, which listens.
redis = Redis.from_url(URL, decode_responses=True, max_connections=10_000)

app = flask.Flask(__name__)
app.on_shutdown = [redis.aclose]

PAGE = """<!doctype html>
<html lang="en">
<title>Chat</title>
<form><input name="text" autofocus autocomplete="off" aria-label="What you say"></form>
<ul></ul>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws") + "rooms/lobby");
  socket.onmessage = (event) => {
    const item = document.createElement("li");
    item.textContent = event.data;
    document.querySelector("ul").prepend(item);
  };
  document.querySelector("form").onsubmit = (event) => {
    event.preventDefault();
    socket.send(event.target.text.value);
    event.target.reset();
  };
</script>
"""


@app.get("/")
def page():
    return PAGE


@websocket(app, "/rooms/<room>", max_size=1000)
async def chat(ws, room):
    name = flask.request.args.get("name", "guest")
    # When one of the two tasks ends, because the guest has left, the other does too.
    async with redis.pubsub() as channel, asyncio.TaskGroup() as tasks:
        await channel.subscribe(room)
        tasks.create_task(listen(channel, ws))
        while True:
            text = await ws.receive()
            await redis.publish(room, f"{name}: {text}")


async def listen(channel, ws):
    async for message in channel.listen():
        if message["type"] == "subscribe":
            await ws.send(f"Welcome! Process {os.getpid()} serves you.")
        else:
            await ws.send(message["data"])
