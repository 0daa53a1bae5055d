# SPDX-License-Identifier: MIT
"""uvicorn on a thread of the test process, so that what it runs counts for coverage."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.bridge.stacks import other_stacks
from tests.support.client import Address

__all__ = [
    "COMBINATIONS",
    "EACH_ONCE",
    "Combination",
    "Serve",
    "ServerDidNotStart",
    "SharedServer",
    "on_every_server",
    "serving",
]

#: What the ``serve`` fixture gives: serves an ASGI application and returns the address.
Serve = Callable[[Any], Address]

#: A parser and a loop, by uvicorn's names.
Combination = tuple[str, str]
COMBINATIONS: list[Combination] = [
    ("httptools", "uvloop"),
    ("h11", "uvloop"),
    ("httptools", "asyncio"),
    ("h11", "asyncio"),
]

#: Each parser and each loop once: neither knows of the other.
EACH_ONCE = [COMBINATIONS[0], COMBINATIONS[3]]

#: Run the test, through its ``serve`` fixture, with each parser and each loop.
on_every_server = pytest.mark.parametrize("serve", EACH_ONCE, indirect=True, ids="-".join)


class ServerDidNotStart(Exception):  # noqa: N818 - expected where an application fails to start
    """uvicorn ended before it listened."""


@contextmanager
def serving(application: Any, **config: Any) -> Iterator[Address]:
    """Serve an ASGI *application* on a free port of 127.0.0.1 until the block ends; *config* is uvicorn's.

    Raises:
        ServerDidNotStart: uvicorn ended before it listened. Its log says why.

    """
    options = {"log_config": None, "access_log": False, "ws": "none", "timeout_graceful_shutdown": 5}
    server = uvicorn.Server(uvicorn.Config(application, **{**options, **config}))
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:  # else asyncio does not set TCP_NODELAY
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_run, args=(server, listener), name="uvicorn")
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), f"uvicorn does not stop:\n{other_stacks()}"


def _run(server: uvicorn.Server, listener: socket.socket) -> None:
    with suppress(SystemExit):  # where the application fails to start
        server.run([listener])


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + 10
    while not server.started:
        if not thread.is_alive():
            raise ServerDidNotStart
        assert time.monotonic() < deadline, "uvicorn does not start"
        time.sleep(0.005)


class SharedServer:
    """One uvicorn for many tests: an ASGI application that passes requests to ``application``.

    Starting and stopping a server for each test would take most of the time that the tests need.
    """

    def __init__(self) -> None:
        self.address: Address = ("", 0)
        self.application: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)

    def serve(self, application: Any) -> Address:
        """Serve *application* from now on; return the address."""
        self.application = application
        return self.address

    @contextmanager
    def running(self, combination: Combination, **config: Any) -> Iterator[None]:
        """Run it with a parser and a loop; *config* is uvicorn's."""
        http, loop = combination
        with serving(self, http=http, loop=loop, lifespan="off", **config) as self.address:
            yield
