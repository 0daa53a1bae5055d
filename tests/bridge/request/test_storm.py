# SPDX-License-Identifier: MIT
"""Requests of all kinds at once, which end in all ways: nothing is left of them."""

import asyncio
import functools
import gc
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import Context
from pathlib import Path
from typing import Any

import flask
import pytest
from asgiref.sync import sync_to_async

from ashapp.bridge import FlaskToAsgi, nonblocking
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet
from ashapp.bridge.request.uploads.request_body import RequestBody
from ashapp.bridge.request.wsgi_call import WsgiCall
from tests.support.asgi import Client, http_scope
from tests.support.flask import make_app
from tests.support.waiting import eventually

REQUESTS = 1500
AT_ONCE = 60

THREADS = 8

# What would be left behind, if anything is.
KINDS = [WsgiCall, RequestBody, PooledGreenlet, Context, asyncio.Task, Client]


class Storm:
    """An application whose views do what the query asks for, and clients that do what a seed says."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.began: Counter[str] = Counter()
        self.torn_down: dict[str, Counter[str]] = {"sync": Counter(), "async": Counter()}
        self.closed: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.app = make_app()
        self._add_hooks()
        for name, view in {"async": self.view, "decorated": _decorated(self.view)}.items():
            self.app.add_url_rule(f"/{name}/<act>", name, view, methods=["GET", "POST"])
        self.app.add_url_rule("/sync/<act>", "sync", self.sync_view, methods=["GET", "POST"])
        self.bridge = FlaskToAsgi(self.app, threads=THREADS, request_timeout=1)

    # -- the application

    def _add_hooks(self) -> None:
        app = self.app

        @app.before_request
        @nonblocking
        def begin() -> None:
            self.began[flask.request.args["id"]] += 1

        @app.before_request
        def before() -> None:
            if "hook" in flask.request.args:
                time.sleep(0.002)

        @app.before_request
        async def before_async() -> None:
            if "hook" in flask.request.args:
                await asyncio.sleep(0.002)

        @app.after_request
        def after(response: flask.Response) -> flask.Response:
            response.headers["X-Id"] = flask.request.args["id"]
            return response

        @app.teardown_request
        async def teardown_async(error: BaseException | None) -> None:
            await asyncio.sleep(0)
            self.torn_down["async"][flask.request.args["id"]] += 1

        @app.teardown_request
        def teardown(error: BaseException | None) -> None:
            self.torn_down["sync"][flask.request.args["id"]] += 1

        @app.errorhandler(LookupError)
        async def handle(error: Exception) -> tuple[str, int]:
            await asyncio.sleep(0)
            return "handled", 418

    async def view(self, act: str) -> Any:
        await asyncio.sleep(self.random.choice([0, 0, 0.001]))
        if act == "hang":
            await asyncio.Event().wait()
        if act == "spin":
            while True:  # noqa: ASYNC110
                await asyncio.sleep(0)
        if act == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(0.002))
                group.create_task(sync_to_async(time.sleep)(0.001))
        if act == "stubborn":
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
        if act == "stream":
            return flask.Response(self.body(flask.request.args["id"], "fail" in flask.request.args))  # type: ignore[arg-type]
        return self.sync_view(act)

    def sync_view(self, act: str) -> Any:
        identity, fails = flask.request.args["id"], "fail" in flask.request.args
        if act == "read":
            return str(len(flask.request.get_data()))
        if act == "error":
            raise ZeroDivisionError
        if act == "handled":
            raise LookupError
        if act == "exit":
            raise SystemExit
        if act == "stream":
            return flask.Response(self.body(identity, fails))  # type: ignore[arg-type]
        if act == "sync stream":
            return flask.Response(self.sync_body(identity, fails))
        if act == "close":
            response = flask.make_response("close")
            response.call_on_close(lambda: self.answered.update([identity]))
            return response
        return "hello"

    async def body(self, identity: str, fails: bool) -> AsyncIterator[bytes]:  # noqa: FBT001
        self.opened[identity] += 1
        try:
            for number in range(40):
                yield b"x" * 1000
                await asyncio.sleep(0.001 * (number % 2))
                if fails and number > 20:
                    raise ZeroDivisionError
        finally:
            try:
                await asyncio.sleep(0)
            finally:
                self.closed[identity] += 1

    def sync_body(self, identity: str, fails: bool) -> Iterator[bytes]:  # noqa: FBT001
        self.opened[identity] += 1
        try:
            for number in range(40):
                yield b"x" * 1000
                if fails and number > 20:
                    raise ZeroDivisionError
        finally:
            self.closed[identity] += 1

    # -- its clients

    async def run(self, numbers: range) -> None:
        """Make requests of these *numbers*, some at once."""
        places = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with places:
                await self.request(number)

        await asyncio.gather(*(one(number) for number in numbers))

    async def calm(self) -> None:
        """Wait until the threads have done what they began, for requests that were left too."""
        pool = self.bridge.threads
        await eventually(lambda: len(pool._state.idle) == pool.started)
        await eventually(lambda: self.bridge.request_threads.busy == 0)
        await asyncio.sleep(1.05)  # until the loop has forgotten the timers, too

    async def request(self, number: int) -> None:
        """Make one request, and leave it, or cancel it, or see it to its end."""
        choose = self.random.choice
        kind = choose(["async", "async", "decorated", "sync"])
        acts = ["", "read", "error", "handled", "exit", "stream", "sync stream", "close"]
        if kind != "sync":
            acts += ["group", "stubborn", "hang" if number % 3 else "spin"]
        query = f"id={number}" + choose(["", "", "&hook=1"]) + choose(["", "&fail=1"])
        act = choose(acts)
        client = _SlowClient(b"y" * 5000, more=choose([False, False, True])) if choose([0, 1]) else Client()
        headers = [(b"transfer-encoding", b"chunked")] if isinstance(client, _SlowClient) else []
        target = f"/{kind}/{act}?{query}".replace(" ", "%20").encode()
        scope = http_scope("POST" if headers else "GET", target, headers)
        task = asyncio.ensure_future(self.bridge(scope, client.receive, client.send))
        end = choose(["stay", "stay", "leave", "leave", "cancel"])
        await asyncio.wait([task], timeout=None if end == "stay" else choose([0, 0.001, 0.004, 0.02]))
        if end == "leave":
            client.leave()
        elif end == "cancel":
            task.cancel()
        await asyncio.wait([task])
        self.outcomes[_outcome(task, client)] += 1


class _SlowClient(Client):
    async def send(self, message: Any) -> None:
        await asyncio.sleep(0.0005)
        await super().send(message)


def _decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(function)(*args, **kwargs)

    return decorated


def _outcome(task: asyncio.Future[Any], client: Client) -> str:
    if task.cancelled():
        return "cancelled"
    if task.exception() is not None:
        return type(task.exception()).__name__
    return str(client.status) if client.sent else "left"


def count(kind: type) -> int:
    """Return how many objects of *kind* there are, but for greenlets that are kept for later requests."""
    gc.collect()
    found = [thing for thing in gc.get_objects() if isinstance(thing, kind)]
    return sum(kind is not PooledGreenlet or hasattr(thing, "driver") for thing in found)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def open_files() -> set[str]:
    return {file.name for file in Path("/proc/self/fd").iterdir()}


@pytest.mark.timeout(600)  # of a minute's work, on a machine that has much else to do
@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_left_of_a_storm(seed: int) -> None:
    storm = Storm(seed)
    await storm.run(
        range(200)
    )  # so that the threads, request threads and greenlets are there that will be kept
    await storm.calm()
    before = {kind: count(kind) for kind in KINDS}
    # Python gives each thread one that needs it; idle request threads may have ended before.
    before[Context] += 2 * THREADS + AT_ONCE
    threads, files = set(threading.enumerate()), open_files()
    await storm.run(range(200, 200 + REQUESTS))
    await storm.calm()

    # The storm was one: it has seen all that there is to see.
    assert {"200", "418", "500", "504", "left", "cancelled", "RuntimeError"} <= set(storm.outcomes), (
        storm.outcomes
    )
    assert len(storm.began) > REQUESTS * 0.5  # many time out on a slow machine
    for torn_down in storm.torn_down.values():
        assert torn_down == storm.began
    assert set(storm.began.values()) == {1}
    assert storm.closed == storm.opened
    assert set(storm.answered.values()) == {1}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not storm.bridge.service.tasks.tasks
    assert storm.bridge.request_threads.busy == 0
    assert storm.bridge.request_threads.started <= AT_ONCE
    others = [
        thread for thread in set(threading.enumerate()) - threads if "ashapp-request" not in thread.name
    ]
    assert len(others) <= THREADS
    assert open_files() <= files
    for kind in KINDS:
        assert count(kind) <= before[kind], kind
