# SPDX-License-Identifier: MIT
"""Lanes of many requests at once."""

import asyncio
import queue
import threading

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch


@pytest.mark.parametrize("holders", [0, 8])
async def test_requests_do_not_wait_for_each_other_for_ever(app: flask.Flask, holders: int) -> None:
    """A hook that waits for what another request gives back in its teardown, as for a pooled connection.

    On one thread with that request it would wait for itself.
    """
    pool: queue.Queue[int] = queue.Queue()
    for number in range(3):
        pool.put(number)

    go = asyncio.Event()

    @app.before_request
    def take() -> None:
        if flask.request.path == "/":
            flask.g.taken = pool.get(timeout=20)

    @app.teardown_request
    def give_back(error: BaseException | None) -> None:
        if "taken" in flask.g:
            pool.put(flask.g.taken)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.001)
        return "hello"

    @app.get("/wait")
    async def wait() -> str:
        await go.wait()
        return "waited"

    bridge = FlaskToAsgi(app, threads=8)
    waiting = [asyncio.create_task(fetch(bridge, target=b"/wait")) for _ in range(holders)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(15):
        clients = await asyncio.gather(*(fetch(bridge) for _ in range(60)))
    go.set()
    await asyncio.gather(*waiting)

    assert {client.status for client in clients} == {200}


async def test_requests_that_wait_share_lanes(app: flask.Flask) -> None:
    seen: set[int] = set()
    waiting = 0
    all_wait = asyncio.Event()

    @app.before_request
    def before() -> None:
        seen.add(threading.get_ident())

    @app.get("/")
    async def view() -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 200:
            all_wait.set()
        await all_wait.wait()
        return "hello"

    bridge = FlaskToAsgi(app, threads=8)
    await asyncio.gather(*(fetch(bridge) for _ in range(200)))

    assert len(seen) <= 64


async def test_one_thread_means_one_lane(app: flask.Flask) -> None:
    """The application is told that it is not entered twice at once (``wsgi.multithread``)."""
    seen: set[int] = set()

    @app.before_request
    def before() -> None:
        seen.add(threading.get_ident())

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0.001)
        return "hello"

    bridge = FlaskToAsgi(app, threads=1)
    await asyncio.gather(*(fetch(bridge) for _ in range(20)))

    assert len(seen) == 1
