# SPDX-License-Identifier: MIT
"""A pytest plugin that sends every request of Werkzeug's test client through the bridge."""

import asyncio
import threading
from itertools import chain
from typing import Any

from werkzeug.wsgi import ClosingIterator

from .client import ClientResponse, make_requests_by
from .conversation import Conversation

__all__ = ["Server"]

_AHEAD = 1 << 20  # bytes


class Server:
    """A loop, in a thread of its own, and the client's way to it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="server", daemon=True)
        self._thread.start()

    def run_wsgi_app(self, app: Any, environ: Any, buffered: bool = False) -> ClientResponse:  # noqa: FBT001, FBT002
        """Do as Werkzeug's function of that name does, but through the bridge."""
        conversation = Conversation(app, environ, self._loop)
        status, headers = conversation.begin()
        body = conversation.body()
        if buffered:
            return list(body), status, headers
        # A client that preserves the contexts of a request pushes them in a `Context` of its own as soon as
        # there is a response: by then a stream must be done with them in the request's.
        ahead = _AHEAD if "werkzeug.debug.preserve_context" in environ else 1
        chunks = []
        for chunk in body:
            chunks.append(chunk)
            ahead -= len(chunk)
            if ahead <= 0:
                break
        return ClosingIterator(chain(chunks, body), body.close), status, headers

    def stop(self) -> None:
        """Cancel what is still served, and end the loop."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=5)


def pytest_configure(config: Any) -> None:
    server = Server()
    make_requests_by(server.run_wsgi_app)
    config.add_cleanup(server.stop)
