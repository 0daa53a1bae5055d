# SPDX-License-Identifier: MIT
"""Threads of one request each, and asgiref's thread-sensitive code on them."""

import asyncio
import gc
import threading
import weakref
from concurrent.futures import Future
from contextvars import Context
from functools import partial
from typing import Any

import flask
import pytest
from asgiref.sync import AsyncToSync, sync_to_async

from ashapp.bridge import FlaskToAsgi, nonblocking
from ashapp.bridge.concurrency.context import loop_context
from ashapp.bridge.concurrency.threads.executors import RequestThreadExecutor
from ashapp.bridge.concurrency.threads.request_thread import (
    RequestThread,
    RequestThreadPool,
    current_request_thread,
)
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.waiting import PATIENCE, eventually, until


def submit(request_thread: RequestThread | None, *args: Any) -> Future[Any]:
    """Submit a callable in the context of a request that has *request_thread*."""
    context = Context()
    context.run(current_request_thread.set, request_thread)
    return context.run(RequestThreadExecutor().submit, *args)


def thread_of(request_thread: RequestThread | None) -> threading.Thread:
    """Return the thread of the request, when that has done all that has been submitted."""
    thread: threading.Thread = submit(request_thread, threading.current_thread).result(PATIENCE)
    return thread


def test_a_thread_is_given_on_only_when_it_has_done_with_its_request() -> None:
    pool = RequestThreadPool(1)
    first, second, waiting = (RequestThread(pool) for _ in range(3))
    go_on, order = threading.Event(), list[str]()
    submit(first, go_on.wait, PATIENCE)
    submit(first, order.append, "first")
    first.end()
    submit(second, order.append, "second")
    submit(waiting, order.append, "ended while it waited")
    waiting.end()
    until(lambda: (pool.busy, pool.queued) == (1, 2))
    go_on.set()
    thread_of(second)
    second.end()
    until(lambda: pool.busy == 0)
    assert order == ["first", "second", "ended while it waited"]


def test_threads_that_are_not_needed_end() -> None:
    pool = RequestThreadPool(20, idle_time=0.02)
    requests = [RequestThread(pool) for _ in range(20)]
    *threads, kept = [thread_of(request) for request in requests]
    for request in requests[:-1]:
        request.end()
    until(lambda: pool.started == 1)
    assert thread_of(requests[-1]) is kept
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_where_no_thread_starts_those_that_there_are_must_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool = RequestThreadPool(4)
    first, second, none = RequestThread(pool), RequestThread(pool), RequestThread(RequestThreadPool(4))
    thread = thread_of(first)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        waiting = submit(second, threading.current_thread)
        first.end()
        assert waiting.result(PATIENCE) == thread
        with pytest.raises(RuntimeError, match="no thread can be started"):
            none.submit(lambda: None)
    assert thread_of(none) != thread


def test_threads_end_with_the_pool() -> None:
    pool = RequestThreadPool(2)
    requests = [RequestThread(pool) for _ in range(2)]
    threads = [thread_of(request) for request in requests]
    for request in requests:
        request.end()
    until(partial(lambda pool: pool.busy == 0, pool))
    reference = weakref.ref(pool)
    del pool, request, requests
    gc.collect()
    assert reference() is None
    until(lambda: not any(thread.is_alive() for thread in threads))


def test_each_loop_has_an_executor_of_its_own() -> None:
    def look(found: list[Any]) -> None:
        found.append(loop_context(Context()).run(getattr, AsyncToSync.executors, "current", None))

    found: list[Any] = []
    thread = threading.Thread(target=look, args=(found,))
    thread.start()
    thread.join(PATIENCE)
    look(found)
    assert [type(executor) for executor in found] == [RequestThreadExecutor] * 2


# -- requests


async def test_no_request_sees_what_is_thread_local_to_another(app: flask.Flask) -> None:
    """With more requests under way than threads for sync views, and all of them waiting at once."""
    local = threading.local()
    threads: dict[str, set[int]] = {}
    waiting = 0
    all_wait = asyncio.Event()

    def note() -> None:
        threads.setdefault(flask.request.args["name"], set()).add(threading.get_ident())

    @app.before_request
    def before() -> None:
        local.name = flask.request.args["name"]
        note()

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        response.headers["Name"] = local.name
        note()
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        assert local.name == flask.request.args["name"]
        note()

    @app.get("/")
    async def view() -> str:
        nonlocal waiting
        waiting += 1
        if waiting == 200:
            all_wait.set()
        await all_wait.wait()
        return str(await sync_to_async(getattr)(local, "name"))

    bridge = FlaskToAsgi(app, threads=8)
    names = [f"n{number}" for number in range(200)]
    clients = await asyncio.gather(*(fetch(bridge, target=f"/?name={name}".encode()) for name in names))
    assert [client.body.decode() for client in clients] == names
    assert [client.headers["name"] for client in clients] == names
    assert {len(idents) for idents in threads.values()} == {1}
    assert len(set.union(*threads.values())) == 200


async def test_past_the_limit_requests_wait_for_a_thread(app: flask.Flask) -> None:
    seen: set[int] = set()
    go = asyncio.Event()

    @app.before_request
    def before() -> None:
        if flask.request.path != "/free":
            seen.add(threading.get_ident())

    @app.get("/")
    async def view() -> str:
        await go.wait()
        return "hello"

    bridge = FlaskToAsgi(app, async_threads=3)
    requests = [begin(bridge) for _ in range(10)]
    await eventually(lambda: bridge.request_threads.queued == 7)
    requests[5].client.leave()  # one that waits
    await requests[5].end()
    assert bridge.request_threads.queued == 6
    go.set()
    clients = [await request.end() for request in requests]
    assert [client.status for client in clients if client.sent] == [200] * 9
    assert len(seen) == 3


async def test_a_request_takes_a_thread_at_its_first_sync_callable(app: flask.Flask) -> None:
    busy: list[int] = []

    @app.before_request
    async def before() -> None:
        busy.append(bridge.request_threads.busy)

    @app.before_request
    @nonblocking
    def quick() -> None:
        busy.append(bridge.request_threads.busy)

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        busy.append(bridge.request_threads.busy)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        busy.append(bridge.request_threads.busy)
        return "hello"

    bridge = FlaskToAsgi(app)
    await fetch(bridge)
    assert busy == [0, 0, 0, 1]


async def test_one_thread_means_one_request_thread(app: flask.Flask) -> None:
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


@pytest.mark.parametrize("end", ["answered", "left"])
async def test_a_request_that_the_application_makes_to_itself_waits_for_no_thread(
    app: flask.Flask, end: str
) -> None:
    """The one that waits for it has the last: both would wait for ever, even where the client has gone."""
    inner_began = asyncio.Event()

    @app.before_request
    def before() -> None:
        flask.g.begun = True

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        pass

    @app.get("/")
    async def outer() -> Any:
        return (await fetch(bridge, "GET", b"/inner")).body

    @app.get("/inner")
    async def inner() -> str:
        inner_began.set()
        if end == "left":
            await asyncio.Event().wait()
        return "inner"

    bridge = FlaskToAsgi(app, async_threads=1)
    requests = [begin(bridge) for _ in range(3)]
    await asyncio.wait_for(inner_began.wait(), 20)
    if end == "left":
        for request in requests:
            request.client.leave()
    clients = await asyncio.wait_for(asyncio.gather(*(request.end() for request in requests)), 20)
    if end == "answered":
        assert [client.body for client in clients] == [b"inner"] * 3
    await eventually(lambda: bridge.request_threads.busy == 0)
    assert bridge.request_threads.started <= 1
