# SPDX-License-Identifier: MIT
"""What the Flask application of the benchmark answers, written in plain ASGI: the floor."""

import asyncio
import json
from typing import Any

from ashapp.bridge.messages.types import Receive, Scope, Send
from tests.benchmarks.servers.apps import BIG, CHUNK, CHUNKS, SLEEP

__all__ = ["app"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _follow_lifespan(receive, send)
        return
    path = scope["path"]
    if path == "/stream":
        await _stream(send)
        return
    if path == "/big":
        await send(_start(b"application/octet-stream", (b"content-length", b"%d" % len(BIG))))
        await send({"type": "http.response.body", "body": BIG})
        return
    content: dict[str, Any] = {"message": "hello"}
    if path == "/echo":
        content = {"received": json.loads(await _body(receive))}
    elif path == "/sleep":
        await asyncio.sleep(SLEEP)
    body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode() + b"\n"
    await send(_start(b"application/json", (b"content-length", b"%d" % len(body))))
    await send({"type": "http.response.body", "body": body})


async def _follow_lifespan(receive: Receive, send: Send) -> None:
    for event in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{event}.complete"})


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _stream(send: Send) -> None:
    await send(_start(b"application/octet-stream"))
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _start(content_type: bytes, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", content_type), *headers],
    }
