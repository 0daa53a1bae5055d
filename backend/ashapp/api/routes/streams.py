# SPDX-License-Identifier: MIT
"""Answers that come in pieces."""

import os
from asyncio import sleep
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Annotated

from flask import Response, current_app, json

from ashapp.api.openapi.operations import Answer, Routes
from ashapp.api.openapi.parameters import Value
from ashapp.bridge import Event, sse

__all__ = ["INTERVAL", "drip", "events", "random_bytes", "routes", "stream"]

routes = Routes("Streams", "Answers that come in pieces. A client that goes away ends them.")

#: Between one piece and the next.
INTERVAL = Value("The seconds between one and the next.", 0.1, least=0, most="MAX_DELAY_SECONDS")

_CHUNK_SIZE = 64 * 1024
_BINARY = "application/octet-stream"


@routes.add("/stream/<count>", answers=(Answer(200, "A JSON object in each line.", "application/x-ndjson"),))
def stream(count: Annotated[int, Value("How many lines there are.", 3, least=0, most=1000)]) -> Response:
    """Stream lines of JSON from a sync generator, which runs on a thread."""

    def lines() -> Iterator[str]:
        for number in range(count):
            yield json.dumps({"number": number, "time": datetime.now(UTC).isoformat()}) + "\n"

    return current_app.response_class(lines(), mimetype="application/x-ndjson")


@routes.add("/drip", answers=(Answer(200, "The bytes, each an asterisk.", _BINARY),))
async def drip(
    count: Annotated[int, Value("How many bytes there are.", 5, least=0, most=1000)] = 10,
    interval: Annotated[float, INTERVAL] = 0.1,
) -> Response:
    """Send one byte after the other from an async generator, which holds no thread."""

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(count):
            if number:
                await sleep(interval)
            yield b"*"

    response = current_app.response_class(pieces(), mimetype=_BINARY)  # type: ignore[arg-type]
    response.content_length = count
    return response


@routes.add("/bytes/<count>", answers=(Answer(200, "The bytes.", _BINARY),))
def random_bytes(
    count: Annotated[int, Value("How many bytes there are.", 1024, least=0, most=10 * 1024**2)],
) -> Response:
    """Stream random bytes, no faster than the client takes them."""

    def chunks() -> Iterator[bytes]:
        for left in range(count, 0, -_CHUNK_SIZE):
            yield os.urandom(min(left, _CHUNK_SIZE))

    response = current_app.response_class(chunks(), mimetype=_BINARY)
    response.content_length = count
    return response


@routes.add("/events", answers=(Answer(200, "The events, numbered.", "text/event-stream"),))
async def events(
    count: Annotated[int, Value("The number of the last event.", 3, least=1, most=1000)] = 3,
    interval: Annotated[float, INTERVAL] = 0.5,
) -> Response:
    """Send server-sent events from the loop; a client that comes back goes on where it was."""

    async def numbered(last: str | None) -> AsyncIterator[Event]:
        first = int(last) + 1 if last and last.isascii() and last.isdecimal() and len(last) < 5 else 1
        for number in range(first, count + 1):
            if number > first:
                await sleep(interval)
            yield Event({"number": number, "of": count}, id=str(number))

    return sse(numbered)
