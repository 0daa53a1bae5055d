# SPDX-License-Identifier: MIT
"""One request to an ASGI application, driven by hand: no server, no socket."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from ashapp.bridge.messages.types import Message, Scope
from tests.support.waiting import PATIENCE

__all__ = ["Application", "Client", "fetch", "http_scope", "lifespan"]

Application = Callable[[Scope, Any, Any], Any]


def http_scope(
    method: str = "GET", target: bytes = b"/", headers: Iterable[tuple[bytes, bytes]] = (), **entries: Any
) -> Scope:
    """Return the scope that a server makes of a request for *target*, with *entries* over it."""
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("192.0.2.1", 51234),
        "server": ("127.0.0.1", 8000),
        **entries,
    }


class Client:
    """The other end of ``receive`` and ``send``: says what it is told to, and keeps what is sent to it."""

    def __init__(self, *chunks: bytes, more: bool = False) -> None:
        self.sent: list[Message] = []
        self.asked = 0
        # Cleared, it lets ``send`` wait, as for a client that reads slowly.
        self.reads = asyncio.Event()
        self.reads.set()
        self._inbox: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        self._changed = asyncio.Event()
        for chunk in chunks[:-1]:
            self.say(chunk, more=True)
        if chunks or not more:
            self.say(chunks[-1] if chunks else b"", more=more)

    def say(self, chunk: bytes = b"", *, more: bool = False) -> None:
        self._inbox.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def leave(self) -> None:
        self._inbox.put_nowait({"type": "http.disconnect"})

    def fail(self, error: BaseException) -> None:
        self._inbox.put_nowait(error)

    async def receive(self) -> Message:
        self.asked += 1
        self._changed.set()
        message = await self._inbox.get()
        if isinstance(message, BaseException):
            raise message
        return message

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        self._changed.set()
        await self.reads.wait()

    async def until(self, condition: Callable[["Client"], object]) -> None:
        """Wait until *condition* holds, which is looked at after each ``receive`` and ``send``."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                self._changed.clear()
                await self._changed.wait()

    @property
    def status(self) -> int:
        assert self.sent[0]["type"] == "http.response.start"
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        fields = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in self.sent[0]["headers"]
        ]
        assert len(dict(fields)) == len(fields)
        return dict(fields)

    @property
    def body(self) -> bytes:
        assert all(message["type"] == "http.response.body" for message in self.sent[1:])
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def complete(self) -> bool:
        """Whether the response has been ended, and nothing was sent after its end."""
        ends = [not message.get("more_body", False) for message in self.sent[1:]]
        assert not any(ends[:-1])
        return bool(ends) and ends[-1]


async def fetch(
    application: Application, method: str = "GET", target: bytes = b"/", *chunks: bytes, **entries: Any
) -> Client:
    """Make one request, with *chunks* for a body (chunked if there are several), and return its client."""
    headers = list(entries.pop("headers", ()))
    if len(chunks) == 1:
        headers.append((b"content-length", b"%d" % len(chunks[0])))
    elif chunks:
        headers.append((b"transfer-encoding", b"chunked"))
    client = Client(*chunks)
    async with asyncio.timeout(PATIENCE):
        await application(http_scope(method, target, headers, **entries), client.receive, client.send)
    return client


@asynccontextmanager
async def lifespan(application: Application) -> AsyncIterator[list[Message]]:
    """Start *application* as a server does, and stop it at the end; give what it has answered."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    answers: list[Message] = []
    answered = asyncio.Event()

    async def send(message: Message) -> None:
        answers.append(message)
        answered.set()

    task = asyncio.create_task(application({"type": "lifespan", "state": {}}, inbox.get, send))
    async with asyncio.timeout(PATIENCE):
        inbox.put_nowait({"type": "lifespan.startup"})
        await answered.wait()
    yield answers
    async with asyncio.timeout(PATIENCE):
        inbox.put_nowait({"type": "lifespan.shutdown"})
        await task
