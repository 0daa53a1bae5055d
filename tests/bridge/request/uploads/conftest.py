# SPDX-License-Identifier: MIT
"""Ways to send a body, in memory and over sockets."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import pytest

from tests.support.asgi import Application, Client
from tests.support.client import Connection, chunk
from tests.support.flask import begin
from tests.support.server import Combination, SharedServer


class Answer(NamedTuple):
    """What the client got."""

    status: int
    body: bytes


#: Posts a body, part by part: chunked, or with a length. Returns the answer.
Post = Callable[..., Answer]

WIRES: dict[str, Combination | None] = {
    "memory": None,
    "httptools": ("httptools", "uvloop"),
    "h11": ("h11", "asyncio"),
}


def framed(parts: list[bytes], *, chunked: bool) -> tuple[str, str]:
    return ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(sum(map(len, parts))))


def post_by_hand(
    application: Application,
    target: str,
    parts: Iterable[bytes],
    *fields: tuple[str, str],
    chunked: bool = False,
) -> Answer:
    async def run() -> Client:
        given = list(parts)
        headers = [
            (name.lower().encode(), value.encode())
            for name, value in (*fields, framed(given, chunked=chunked))
        ]
        client = Client(more=True)
        request = begin(application, "POST", target.encode(), client=client, headers=headers)
        for part in given:
            await asyncio.sleep(0)
            client.say(part, more=True)
        client.say()
        return await request.end()

    client = asyncio.run(run())
    return Answer(client.status, client.body)


@pytest.fixture(params=WIRES)
def post(request: pytest.FixtureRequest, _servers: Callable[[Combination], SharedServer]) -> Iterator[Post]:
    combination = WIRES[request.param]
    if combination is None:
        yield post_by_hand
        return
    server = _servers(combination)

    def post_by_socket(
        application: Application,
        target: str,
        parts: Iterable[bytes],
        *fields: tuple[str, str],
        chunked: bool = False,
    ) -> Answer:
        given = list(parts)
        with Connection(server.serve(application)) as connection:
            connection.send_request("POST", target, [*fields, framed(given, chunked=chunked)])
            for part in given:
                connection.send(chunk(part) if chunked else part)
                time.sleep(0.001 if len(given) < 50 else 0)
            if chunked:
                connection.send(chunk())
            response = connection.receive()
        return Answer(response.status, response.body)

    yield post_by_socket
    server.application = None
