# SPDX-License-Identifier: MIT
"""httpx's transport to an ASGI application in this process, which streams both ways.

Theory of operation: each request is a task of its own, in an empty context, as a server's are. The request
body is read when the application asks for it. A message of the response waits until its bytes have been
taken, so a stream has back-pressure. A response that is closed before its end is a client that has gone:
``receive`` gives ``http.disconnect``.
"""

import asyncio
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Any

import httpx

from ashapp.bridge.messages.types import AsgiApplication, Message, Scope

__all__ = ["AsgiTransport", "Tasks", "scope_of"]

_CLIENT = ("127.0.0.1", 50000)


class Tasks:
    """The running calls of an application. Each scope gets the *state* of the startup."""

    def __init__(self, app: AsgiApplication) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, scope: Scope, receive: Any, send: Any) -> asyncio.Task[None]:
        """Call the application in a task."""
        scope["state"] = self.state.copy()
        loop = asyncio.get_running_loop()
        task: asyncio.Task[None] = loop.create_task(self._call(scope, receive, send), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def wait(self) -> None:
        """Wait for what still runs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self, scope: Scope, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


def scope_of(request: httpx.Request, **more: Any) -> Scope:
    """Return the scope of *request*, with *more* keys (ASGI, "HTTP Connection Scope")."""
    url = request.url
    return {
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (url.host, url.port or {"https": 443, "wss": 443}.get(url.scheme, 80)),
        "client": _CLIENT,
        "extensions": {},
        **more,
    }


class AsgiTransport(httpx.AsyncBaseTransport):
    """Sends requests to an application. An exception that leaves it is raised to the test.

    A response waits for the time-out "read" of the request at most, as on a network.
    """

    def __init__(self, tasks: Tasks, *, raise_app_exceptions: bool = True) -> None:
        self.tasks = tasks
        self.raise_app_exceptions = raise_app_exceptions

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Start the application's call, and return when its response has begun.

        Raises:
            httpx.ReadTimeout: it has not begun in time.
        """
        call = _Call(request, self)
        try:
            status, headers = await call.begin()
        except BaseException:
            await call.aclose()
            raise
        return httpx.Response(status, headers=headers, stream=call)


class _Call(httpx.AsyncByteStream):
    """One request: the application's ``receive`` and ``send``, and the stream of its response."""

    def __init__(self, request: httpx.Request, transport: AsgiTransport) -> None:
        self._request = request
        self._raises = transport.raise_app_exceptions
        self._timeout = request.extensions.get("timeout", {}).get("read")
        self._chunks = (
            request.stream.__aiter__() if isinstance(request.stream, httpx.AsyncByteStream) else None
        )
        self._read_all = False
        self._gone = asyncio.Event()
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._taken = asyncio.Event()
        scope = scope_of(request, type="http", method=request.method)
        self._task = transport.tasks.start(scope, self._receive, self._send)

    async def begin(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return the status and the headers of the response."""
        message = await self._next()
        if message is None:
            return 500, [(b"content-length", b"0")]
        return message["status"], list(message.get("headers", ()))

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self._next()) is not None:
            yield message.get("body", b"")
            self._taken.set()
            if not message.get("more_body", False):
                break
        self._gone.set()  # a server that has sent all may tell the application so
        await self._ended()

    async def aclose(self) -> None:
        self._gone.set()
        self._taken.set()

    async def _next(self) -> Message | None:
        """Return the application's next message; None if it has ended without one."""
        message = asyncio.ensure_future(self._messages.get())
        waits = {message, self._task}
        done, _ = await asyncio.wait(waits, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
        if message in done:
            return message.result()
        message.cancel()
        if not done:
            raise httpx.ReadTimeout(f"no answer within {self._timeout} s", request=self._request)
        await self._ended()
        return None

    async def _ended(self) -> None:
        try:
            await self._task
        except Exception:
            if self._raises:
                raise

    async def _receive(self) -> Message:
        if not self._read_all and not self._gone.is_set():
            chunk = None if self._chunks is None else await anext(self._chunks, None)
            self._read_all = chunk is None
            return {"type": "http.request", "body": chunk or b"", "more_body": not self._read_all}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            return  # as on a connection that is closed
        self._messages.put_nowait(message)
        if message["type"] == "http.response.body" and message.get("body"):
            self._taken.clear()
            await self._taken.wait()
