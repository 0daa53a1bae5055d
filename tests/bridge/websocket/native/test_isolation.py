# SPDX-License-Identifier: MIT
"""No WebSocket sees what another one has: context variables, ``g``, thread-local values."""

import asyncio
import sys
import threading
from contextvars import ContextVar
from typing import Any

import flask
import pytest
from asgiref.sync import sync_to_async
from websockets.asyncio.client import connect

from ashapp import BlockingWebSocket, WebSocket, isolate_thread_locals, websocket
from ashapp.bridge.concurrency.greenlets.current import running_call
from tests.support.client import Address
from tests.support.journal import Journal

_name: ContextVar[str] = ContextVar("name")


def add_handlers(app: flask.Flask, journal: Journal) -> None:
    threads = threading.local()

    @app.before_request
    def begin() -> None:
        assert not hasattr(threads, "name")
        assert _name.get(None) is None
        flask.g.name = threads.name = flask.request.args["name"]
        _name.set(flask.g.name)

    @app.teardown_request
    def end(_error: BaseException | None) -> None:
        journal.note("end", [flask.g.name, _name.get(), flask.session["last"], threads.name])
        del threads.name

    @websocket(app, "/async")
    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            await asyncio.sleep(0.01)
            flask.session["last"] = message
            seen = [flask.g.name, _name.get(), await sync_to_async(lambda: threads.name)()]
            await ws.send_json(seen)
            _name.set(f"{flask.g.name} {message!s}")

    @websocket(app, "/sync")
    def blocking_handler(ws: BlockingWebSocket) -> None:
        for message in ws:
            flask.session["last"] = message
            ws.send_json([flask.g.name, _name.get(), threads.name])
            _name.set(f"{flask.g.name} {message!s}")


async def talk(address: Address, path: str, name: str) -> None:
    """Be one of many clients."""
    async with connect(f"ws://{address[0]}:{address[1]}{path}?name={name}", proxy=None) as client:
        said = name
        for number in range(4):
            await client.send(str(number))
            assert flask.json.loads(await client.recv()) == [name, said, name]
            said = f"{name} {number}"


async def talk_all(address: Address, paths: list[str], number: int) -> None:
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for path in paths:
            for index in range(number):
                group.create_task(talk(address, path, f"{path[1:]}{index}"))


@pytest.fixture(params=[False, True], ids=["plain", "isolated"])
def isolated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether requests have thread-local values of their own."""
    monkeypatch.setattr(threading, "local", threading.local)
    return bool(request.param and isolate_thread_locals())


def request_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("ashapp-request")}


def test_each_has_its_own(*, isolated: bool, app: flask.Flask, address: Address, journal: Journal) -> None:
    number, paths = 25, ["/async", "/sync"]
    before = request_threads()
    add_handlers(app, journal)
    asyncio.run(talk_all(address, paths, number))
    # With values of its own, one that waits for its client needs no thread for its hooks.
    assert (len(request_threads() - before) < number) is isolated
    while len(journal.entries) < number * len(paths):
        threading.Event().wait(0.01)
    names = [f"{path[1:]}{index}" for path in paths for index in range(number)]
    ends: list[Any] = sorted(entry.value for entry in journal.entries)
    assert ends == sorted([name, f"{name} 3", "3", name] for name in names)


def test_the_monitor_of_the_loop_knows_whose_code_runs(app: flask.Flask, address: Address) -> None:
    found: list[str] = []

    @websocket(app, "/")
    async def handler(ws: WebSocket) -> None:
        found.append(str(running_call(sys._getframe())))
        await ws.receive()
        found.append(str(running_call(sys._getframe())))

    async def say_something() -> None:
        async with connect(f"ws://{address[0]}:{address[1]}/", proxy=None) as client:
            await client.send("something")
            await client.wait_closed()

    asyncio.run(say_something())
    assert found == ["GET /", "GET /"]
