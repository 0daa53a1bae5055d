# SPDX-License-Identifier: MIT
"""A WebSocket to an application in this process (ASGI, "WebSocket")."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from ashapp.bridge.messages.types import Message
from ashapp.bridge.websocket.state import WebSocketClosed
from ashapp.testing.transport import Tasks, scope_of

__all__ = ["AsyncWebSocketSession", "WebSocketDenied"]


class WebSocketDenied(Exception):  # noqa: N818 - an outcome, not a fault
    """The application has answered the handshake with ``response`` in place of accepting it."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"the WebSocket was denied with {response.status_code}")
        self.response = response


class AsyncWebSocketSession:
    """The client's end of a WebSocket; ``async for`` gives its messages until it is closed."""

    def __init__(self, request: httpx.Request, subprotocols: list[str], tasks: Tasks) -> None:
        #: The subprotocol that the application has chosen, and the headers it has sent.
        self.subprotocol: str | None = None
        self.headers = httpx.Headers()
        self._request = request
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._from_app: asyncio.Queue[Message] = asyncio.Queue()
        self._closed: WebSocketClosed | None = None
        self._task = tasks.start(_scope(request, subprotocols), self._receive, self._send)

    async def open(self) -> None:
        """Do the handshake; see ``AsyncClient.websocket``."""
        self._to_app.put_nowait({"type": "websocket.connect"})
        message = await self._next()
        if message["type"] == "websocket.accept":
            self.subprotocol = message.get("subprotocol")
            self.headers = httpx.Headers(list(message.get("headers", ())))
            return
        response = httpx.Response(403, request=self._request)
        if message["type"] == "websocket.http.response.start":
            response = await self._denial(message)
        await self._task
        raise WebSocketDenied(response)

    async def receive(self) -> str | bytes:
        """Return the next message.

        Raises:
            WebSocketClosed: the application has closed the WebSocket.
        """
        message = await self._next()
        if message["type"] == "websocket.close":
            raise self._end(message.get("code", 1000), message.get("reason") or "")
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def receive_json(self) -> Any:
        """Return the value of the next message, which is JSON."""
        return json.loads(await self.receive())

    async def send(self, data: str | bytes) -> None:
        """Send a message.

        Raises:
            WebSocketClosed: the WebSocket is known to be closed.
        """
        if self._closed is not None:
            raise self._closed
        kind = "text" if isinstance(data, str) else "bytes"
        self._to_app.put_nowait({"type": "websocket.receive", kind: data})
        await asyncio.sleep(0)

    async def send_json(self, value: Any) -> None:
        """Send *value* as JSON."""
        await self.send(json.dumps(value))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the WebSocket, and wait until the application's call has ended."""
        if self._closed is None:
            self._end(code, reason)
        await self._task

    async def leave(self) -> None:
        """Close the WebSocket as a client does that goes, with 1001, unless it is closed."""
        await self.close(1001)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        try:
            while True:
                yield await self.receive()
        except WebSocketClosed:
            return

    def _end(self, code: int, reason: str) -> WebSocketClosed:
        self._closed = WebSocketClosed(code, reason)
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        return self._closed

    async def _next(self) -> Message:
        if self._closed is not None:
            raise self._closed
        message = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait({message, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if message.done():
            return message.result()
        message.cancel()
        await self._task  # and raise what it has raised
        return {"type": "websocket.close", "code": 1006}

    async def _denial(self, start: Message) -> httpx.Response:
        body = b""
        more = True
        while more:
            message = await self._next()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = list(start.get("headers", ()))
        return httpx.Response(start["status"], headers=headers, content=body, request=self._request)

    async def _receive(self) -> Message:
        return await self._to_app.get()

    async def _send(self, message: Message) -> None:
        if self._closed is not None:
            raise OSError("the WebSocket is closed")  # as a server does (ASGI, "Send after disconnect")
        self._from_app.put_nowait(message)


def _scope(request: httpx.Request, subprotocols: list[str]) -> Any:
    handshake = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    if subprotocols:
        handshake.append(("sec-websocket-protocol", ", ".join(subprotocols)))
    request.headers.update(handshake)
    scheme = {"http": "ws", "https": "wss"}.get(request.url.scheme, request.url.scheme)
    return scope_of(
        request,
        type="websocket",
        scheme=scheme,
        subprotocols=subprotocols,
        extensions={"websocket.http.response": {}},
    )
