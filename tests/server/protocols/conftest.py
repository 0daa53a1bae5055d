# SPDX-License-Identifier: MIT
"""Servers with limited protocols, and an application that tells what reaches it."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.server.protocols import ConnectionLimits, limited_protocol
from ashapp.server.protocols.connection import LimitedProtocol
from tests.support.client import Address
from tests.support.server import COMBINATIONS, EACH_ONCE, Combination, serving

#: Serves with limits (those of ``ConnectionLimits``, by name), maybe by TLS, and returns the address.
ServeLimited = Callable[..., Address]


class Application:
    """Answers by path, and notes how each request has ended."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.headers: list[list[tuple[bytes, bytes]]] = []
        self.ends: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.paths.append(scope["path"])
        self.headers.append(scope["headers"])
        await getattr(self, scope["path"].strip("/"), self.echo)(receive, send)

    async def echo(self, receive: Receive, send: Send) -> None:
        """Answer with the length of the body, once it is complete."""
        length, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ends.append("disconnected")
                return
            length += len(message["body"])
            more = message["more_body"]
        self.ends.append("complete")
        await self._answer(send, b"%d" % length)

    async def unread(self, receive: Receive, send: Send) -> None:
        """Answer without a look at the body."""
        await self._answer(send, b"unread")

    async def late(self, receive: Receive, send: Send) -> None:
        """Let the body wait."""
        await asyncio.sleep(0.7)
        await self.echo(receive, send)

    async def early(self, receive: Receive, send: Send) -> None:
        """Begin the response, then read the body."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.ends.append("complete" if await self._read(receive) else "disconnected")
        await send({"type": "http.response.body", "body": b"ended", "more_body": False})

    async def silent(self, receive: Receive, send: Send) -> None:
        """Begin the response, and say no more while the client is there."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self._read(receive)
        assert not await self._read(receive)
        self.ends.append("disconnected")

    async def ticks(self, receive: Receive, send: Send) -> None:
        """Stream for a second, with short pauses."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20):
            await send({"type": "http.response.body", "body": b".", "more_body": True})
            await asyncio.sleep(0.05)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def flood(self, receive: Receive, send: Send) -> None:
        """Send more than any buffers hold, until the client has gone."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self._read(receive)
        watch = asyncio.create_task(self._read(receive))
        for _ in range(10_000):
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)
            if watch.done():
                break
        self.ends.append("disconnected" if watch.done() else "complete")
        watch.cancel()

    async def large(self, receive: Receive, send: Send) -> None:
        """Send a complete response that is larger than any buffers are."""
        await self._answer(send, bytes(20_000_000))
        self.ends.append("sent")

    async def block(self, receive: Receive, send: Send) -> None:
        """Send a complete response that a kernel holds until the client reads."""
        await self._answer(send, bytes(300_000))
        self.ends.append("sent")

    async def _read(self, receive: Receive) -> bool:
        """Read the body to its end, and say whether it came."""
        message = await receive()
        while message["type"] == "http.request" and message["more_body"]:
            message = await receive()
        return bool(message["type"] == "http.request")

    async def _answer(self, send: Send, body: bytes) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


@pytest.fixture
def app() -> Application:
    return Application()


#: For a module whose tests depend on the loop as well: each parser on each loop.
on_each_loop = pytest.mark.parametrize("combination", COMBINATIONS, indirect=True, ids="-".join)


@pytest.fixture(params=EACH_ONCE, ids="-".join)
def combination(request: pytest.FixtureRequest) -> Combination:
    chosen: Combination = request.param
    return chosen


@pytest.fixture
def connections() -> list[LimitedProtocol]:
    """The server's side of the connections, those that have ended among them."""
    return []


@pytest.fixture
def serve(
    combination: Combination, app: Application, connections: list[LimitedProtocol]
) -> Iterator[ServeLimited]:
    http, loop = combination
    with ExitStack() as stack:

        def start(
            application: Any = app,
            *,
            keep_alive: int = 5,
            ws: str = "none",
            as_it_is: bool = False,
            **limits: Any,
        ) -> Address:
            tls = {name: limits.pop(name) for name in list(limits) if name.startswith("ssl")}
            protocol = limited_protocol(http, ConnectionLimits(**limits))

            def connect(**options: Any) -> Any:
                made: Any = protocol(**options)
                begin = made.connection_made

                def note(transport: Any) -> None:
                    begin(transport)  # a test looks only at one that is set up
                    connections.append(made)

                made.connection_made = note
                return made

            config = {"http": connect, "loop": loop, "ws": ws, "timeout_keep_alive": keep_alive, **tls}
            if as_it_is:  # as by `ashapp serve`: uvicorn puts nothing around it
                config |= {"proxy_headers": False, "interface": "asgi3"}
            return stack.enter_context(serving(application, lifespan="off", **config))

        yield start
