# SPDX-License-Identifier: MIT
"""Rules 12 and 15: coroutines run on the server's one loop, wherever Flask meets them."""

import asyncio
import threading
from typing import Any

import httpx
import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Receive, Scope, Send
from tests.support.adapters import Adapter, stock_passes
from tests.support.applications.decorators import ensured
from tests.support.client import fetch
from tests.support.server import Serve, serving
from tests.support.waiting import until


class ServersLoop:
    """An ASGI application around another that remembers the loop on which the server calls it."""

    def __init__(self, application: Any) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loop = asyncio.get_running_loop()
        await self._application(scope, receive, send)


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("target", ["/sync", "/plain", "/decorated"])
def test_async_hooks_run_on_the_loop_of_the_server(serve: Serve, adapter: Adapter, target: str) -> None:
    """Rules 12 and 15, around views that are sync, async, and async but look sync."""
    app = Flask(__name__)
    loops: list[asyncio.AbstractEventLoop] = []

    async def note(argument: Any = None) -> Any:
        loops.append(asyncio.get_running_loop())
        return argument

    async def view() -> str:
        return "view"

    async def tear_down(error: BaseException | None) -> None:
        await note()

    app.add_url_rule("/sync", "sync", lambda: "view")
    app.add_url_rule("/plain", "plain", view)
    app.add_url_rule("/decorated", "decorated", ensured(ensured(view)))
    app.before_request(note)
    app.after_request(note)
    app.teardown_request(tear_down)
    app.teardown_appcontext(tear_down)
    application = ServersLoop(adapter(app))
    assert fetch(serve(application), target).body == b"view"
    until(lambda: len(loops) == 4)
    assert loops == [application.loop] * 4


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["plain", "decorated"])
def test_a_task_outlives_its_request(serve: Serve, adapter: Adapter, kind: str) -> None:
    """Rule 12. It goes on only when the response has arrived."""
    app = Flask(__name__)
    arrived = threading.Event()
    ended = threading.Event()
    tasks = []

    async def work() -> None:
        await asyncio.to_thread(arrived.wait, 5)
        ended.set()

    async def view() -> str:
        tasks.append(asyncio.create_task(work()))
        return "started"

    app.add_url_rule("/", view_func=view if kind == "plain" else ensured(view))
    assert fetch(serve(adapter(app)), "/").body == b"started"
    arrived.set()
    assert ended.wait(5)


@stock_passes(FlaskToAsgi)
def test_a_client_is_shared_between_requests(serve: Serve, adapter: Adapter) -> None:
    """Rule 12: ``httpx.AsyncClient``, whose connection belongs to a loop and is kept."""
    app = Flask(__name__)
    client = httpx.AsyncClient(trust_env=False)
    ports = set()

    async def upstream(scope: Scope, receive: Receive, send: Send) -> None:
        ports.add(scope["client"][1])
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})

    @app.get("/close")
    async def close() -> str:
        await client.aclose()
        return "closed"

    with serving(upstream, lifespan="off") as (host, port):

        @app.get("/")
        async def view() -> str:
            return (await client.get(f"http://{host}:{port}/")).text

        address = serve(adapter(app))
        for _ in range(5):
            assert fetch(address, "/").body == b"hello"
        assert fetch(address, "/close").body == b"closed"
    assert len(ports) == 1
