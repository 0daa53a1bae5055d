# SPDX-License-Identifier: MIT
"""Rule 21: what runs when the server starts and stops. And rule 20 as far as it goes: no WebSocket yet."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from tests.support import process
from tests.support.adapters import Adapter, stock_fails
from tests.support.applications.wsgi import application
from tests.support.client import Connection, fetch
from tests.support.server import ServerDidNotStart, serving

on_both_loops = pytest.mark.parametrize("loop", ["uvloop", "asyncio"])


def hello() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", "hello", lambda: "hello")
    return app


@on_both_loops
def test_callables_run_at_startup_and_shutdown(loop: str) -> None:
    """Rule 21: in order, and the other way round; async ones on the loop of the views, sync ones on a thread.

    Stock asgiref has no lifespan.
    """
    app = hello()
    calls: list[str] = []
    loops: list[asyncio.AbstractEventLoop] = []
    threads: list[int] = []

    def sync(name: str) -> None:
        calls.append(name)
        threads.append(threading.get_ident())

    async def on_loop(name: str) -> None:
        await asyncio.sleep(0)
        calls.append(name)
        loops.append(asyncio.get_running_loop())

    @app.get("/async")
    async def view() -> str:
        loops.append(asyncio.get_running_loop())
        threads.append(threading.get_ident())
        return "async"

    bridge = FlaskToAsgi(
        app,
        on_startup=[partial(sync, "up 1"), partial(on_loop, "up 2"), lambda: on_loop("up 3")],
        on_shutdown=[partial(sync, "down 1"), partial(on_loop, "down 2")],
    )
    with serving(bridge, loop=loop, lifespan="on") as address:
        assert calls == ["up 1", "up 2", "up 3"]
        assert fetch(address, "/async").body == b"async"
        assert fetch(address, "/").body == b"hello"
    assert calls == ["up 1", "up 2", "up 3", "down 2", "down 1"]
    assert len(set(loops)) == 1
    on_the_loop = threads[1]
    assert threads[0] != on_the_loop != threads[2]


@on_both_loops
def test_what_is_opened_at_startup_is_used_by_views(loop: str) -> None:
    """Rules 12 and 21: a lock and a task that belong to the loop. Stock asgiref has no lifespan."""
    app = hello()
    opened: dict[str, Any] = {}

    async def work(queue: asyncio.Queue[asyncio.Future[str]]) -> None:
        while True:
            (await queue.get()).set_result("from the task")

    async def start() -> None:
        opened["queue"] = asyncio.Queue()
        opened["task"] = asyncio.create_task(work(opened["queue"]))

    async def stop() -> None:
        opened["task"].cancel()

    @app.get("/async")
    async def view() -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await opened["queue"].put(answer)
        return await answer

    with serving(FlaskToAsgi(app, on_startup=[start], on_shutdown=[stop]), loop=loop) as address:
        for _ in range(3):
            assert fetch(address, "/async").body == b"from the task"
    assert opened["task"].cancelled()


def test_a_context_manager_is_open_while_the_server_runs() -> None:
    """Rule 21: ``lifespan``, whose mapping reaches the requests. Stock asgiref has no lifespan."""
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Flask) -> AsyncIterator[dict[str, str]]:
        events.append(f"opened for {app.name}")
        yield {"greeting": "hi"}
        events.append("closed")

    app = Flask("lifespan")
    app.add_url_rule("/", "", lambda: request.environ["asgi.scope"]["state"]["greeting"])
    with serving(FlaskToAsgi(app, lifespan=lifespan), lifespan="on") as address:
        assert fetch(address, "/").body == b"hi"
        assert events == ["opened for lifespan"]
    assert events == ["opened for lifespan", "closed"]


def fail() -> None:
    raise ValueError("no database")


async def async_fail() -> None:
    raise ValueError("no database")


def give_up() -> None:
    sys.exit("no database")


@pytest.mark.parametrize("function", [fail, async_fail, give_up, partial(async_fail)])
@pytest.mark.parametrize("lifespan", ["on", "auto"])
def test_a_failure_at_startup_stops_the_server_with_its_reason(
    caplog: pytest.LogCaptureFixture, function: Callable[[], Any], lifespan: str
) -> None:
    """Rule 21. Stock asgiref has no lifespan."""
    later: list[str] = []
    bridge = FlaskToAsgi(hello(), on_startup=[function, lambda: later.append("later")])
    with pytest.raises(ServerDidNotStart), serving(bridge, lifespan=lifespan):
        pass
    assert later == []
    messages = [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
    assert any("no database" in message and message.startswith("startup: ") for message in messages)
    assert messages[-1] == "Application startup failed. Exiting."


def test_a_failure_at_startup_ends_the_process(tmp_path: Path) -> None:
    """Rule 21. Stock asgiref has no lifespan."""
    (tmp_path / "failing_app.py").write_text(
        "from flask import Flask\n"
        "from ashapp.bridge import FlaskToAsgi\n"
        "def connect():\n"
        "    raise ValueError('no database')\n"
        "app = FlaskToAsgi(Flask(__name__), on_startup=[connect])\n"
    )
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--app-dir", str(tmp_path)]
    ended = process.run(["failing_app:app"], command=command)
    assert ended.returncode == 3
    assert "startup: connect failed: ValueError: no database" in ended.stderr


def test_a_failure_at_shutdown_is_told_and_the_rest_is_run(caplog: pytest.LogCaptureFixture) -> None:
    """Rule 21. Stock asgiref has no lifespan."""
    called: list[str] = []
    bridge = FlaskToAsgi(hello(), on_shutdown=[lambda: called.append("first"), fail, async_fail])
    with serving(bridge, lifespan="on") as address:
        assert fetch(address, "/").body == b"hello"
    assert called == ["first"]
    messages = [record.getMessage() for record in caplog.records if record.name == "uvicorn.error"]
    reason = "shutdown: async_fail failed: ValueError: no database; shutdown: fail failed: "
    assert any(message.startswith(reason) for message in messages)


@stock_fails("it raises for a scope that is not HTTP, so that the server does not start")
def test_the_protocol_is_spoken_without_callables(adapter: Adapter) -> None:
    """Rule 21, with ``lifespan="on"``, which takes silence for a failure."""
    with serving(adapter(application(lambda: [b"hello"])), lifespan="on") as address:
        assert fetch(address, "/").body == b"hello"


HANDSHAKE = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


@stock_fails("it raises for a scope that is not HTTP: 500")
@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_websocket_is_refused(adapter: Adapter, http: str) -> None:
    """Rule 20. The handshake is answered with 403, and requests are served as before."""
    bridge = adapter(application(lambda: [b"hello"]))
    with serving(bridge, http=http, ws="websockets-sansio", lifespan="off") as address:
        assert fetch(address, "/").body == b"hello"
        with Connection(address) as connection:
            assert connection.request("GET", "/", HANDSHAKE).status == 403
        assert fetch(address, "/").body == b"hello"


def test_plain_wsgi_has_a_lifespan_as_well() -> None:
    """Rule 21. Stock asgiref has no lifespan."""
    calls: list[str] = []
    bridge = WsgiToAsgi(
        application(lambda: [b"hello"]),
        on_startup=[lambda: calls.append("up")],
        on_shutdown=[lambda: calls.append("down")],
    )
    with serving(bridge, lifespan="on") as address:
        assert calls == ["up"]
        assert fetch(address, "/").body == b"hello"
    assert calls == ["up", "down"]
