# SPDX-License-Identifier: MIT
"""An application that waits in the middle of a request, and what a test does with it."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.request.output_queue import HIGH_WATER
from ashapp.bridge.wsgi import WsgiToAsgi
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually

__all__ = ["BLOCK", "PLAIN", "Application", "cancel", "nothing_is_left", "serve"]

PLAIN = [("Content-Type", "text/plain")]
BLOCK = bytes(HIGH_WATER // 4)


class Application:
    """Waits in the middle of a request until it is told to go on, and notes what becomes of the request."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.calls = 0
        self.produced = 0
        self.closed = 0
        self.ended = threading.Event()
        self.error: BaseException | None = None
        self.call: weakref.ref[Any] | None = None

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        self.call = weakref.ref(start_response.__self__)  # type: ignore[attr-defined]
        self.calls += 1
        try:
            getattr(self, environ["PATH_INFO"].strip("/"))(environ)
        except BaseException as error:
            self.error = error
            self.ended.set()
            raise
        start_response("200 OK", PLAIN)
        return self if environ["PATH_INFO"] != "/stream" else self.blocks()

    def wait(self, environ: Environ) -> None:
        self.entered.set()
        assert self.go_on.wait(PATIENCE)

    def read(self, environ: Environ) -> None:
        self.entered.set()
        environ["wsgi.input"].read()

    def quick(self, environ: Environ) -> None:
        pass

    stream = quick

    def blocks(self) -> Iterator[bytes]:
        try:
            for self.produced in range(1, 1000):
                yield BLOCK
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.close()

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"x"])

    def close(self) -> None:
        self.closed += 1
        self.ended.set()


def serve(
    bridge: WsgiToAsgi, target: bytes, client: Client | None = None, **entries: Any
) -> "asyncio.Task[None]":
    client = client or Client()
    return asyncio.create_task(bridge(http_scope("POST", target, **entries), client.receive, client.send))


async def cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE)


async def nothing_is_left(app: Application, bridge: WsgiToAsgi) -> None:
    """Every thread is free and the call has been collected."""
    await asyncio.gather(*[fetch(bridge, target=b"/quick") for _ in range(bridge.threads.size)])
    app.error = None
    await eventually(lambda: [gc.collect(), app.call is not None and app.call() is None][1])
