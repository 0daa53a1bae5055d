# SPDX-License-Identifier: MIT
"""A service whose view waits, and what ends its requests before their time."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.applications.decorators import ensured
from tests.support.asgi import fetch
from tests.support.flask import Pending, begin
from tests.support.journal import Journal
from tests.support.waiting import eventually

__all__ = [
    "CAUSES",
    "CHUNKED",
    "PLACES",
    "TORN_DOWN",
    "Service",
    "bring_about",
    "by_each_cause",
    "in_each_place",
    "wait",
]

PLACES = ["loop", "thread"]
CAUSES = ["disconnect", "time-out", "cancellation"]
TORN_DOWN = ["async teardown", "sync teardown"]
CHUNKED = [(b"transfer-encoding", b"chunked")]

in_each_place = pytest.mark.parametrize("place", PLACES)
by_each_cause = pytest.mark.parametrize("cause", CAUSES)


class Service:
    """An application whose view, at "/", is a coroutine, on the loop or behind a sync decorator."""

    def __init__(self, app: flask.Flask, journal: Journal, place: str) -> None:
        self.app = app
        self.journal = journal
        self.place = place
        self.started = asyncio.Event()
        self.held, self.release = threading.Event(), threading.Event()
        app.add_url_rule("/next", "next", lambda: "next")

    def add_view(self, view: Callable[[], Awaitable[Any]], *, teardowns: bool = False) -> None:
        if teardowns:
            self.add_teardowns()

        async def started() -> Any:
            self.started.set()
            return await view()

        function = started if self.place == "loop" else ensured(started)
        self.app.add_url_rule("/", "view", function, methods=["GET", "POST"])

    def add_teardowns(self) -> None:
        @self.app.teardown_request
        def teardown(error: BaseException | None) -> None:
            if flask.request.path == "/":
                self.journal.note("sync teardown", error)

        @self.app.teardown_request
        async def async_teardown(error: BaseException | None) -> None:
            await asyncio.sleep(0.01)
            if flask.request.path == "/":
                self.journal.note("async teardown", error)

    def hold(self) -> None:
        """Wait where nothing can interrupt it."""
        self.held.set()
        self.release.wait(20)

    def begin(self, cause: str = "", **options: Any) -> Pending:
        timeout = 0.3 if cause == "time-out" else None
        self.bridge = FlaskToAsgi(self.app, request_timeout=timeout, **options)
        return begin(self.bridge)

    async def begin_and_end(self, cause: str) -> None:
        """Let *cause* end a request whose view has begun."""
        request = self.begin(cause)
        await self.started.wait()
        await self.end(request, cause)

    async def end(self, request: Pending, cause: str) -> None:
        """Let *cause* end the *request*, and wait until nothing is left of it."""
        await bring_about(request, cause)
        self.release.set()
        await asyncio.wait([request.task], timeout=20)
        assert request.task.cancelled() == (cause == "cancellation")
        await eventually(lambda: self.bridge.admission.in_flight == 0)
        await eventually(lambda: (self.bridge.threads.busy, self.bridge.request_threads.busy) == (0, 0))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        if cause == "time-out":
            assert (request.client.status, request.client.complete) == (504, True)
            assert json.loads(request.client.body)["detail"] == "The application took longer than 0.3 s."
        else:
            assert request.client.sent == []
        assert (await fetch(self.bridge, target=b"/next")).body == b"next"


async def bring_about(request: Pending, cause: str) -> None:
    if cause == "disconnect":
        await request.client.until(lambda client: client.asked)  # which is looked for after a while
        request.client.leave()
    elif cause == "cancellation":
        request.task.cancel()
    else:
        await request.client.until(lambda client: len(client.sent) == 2)
    await asyncio.sleep(0.01)


async def wait() -> None:
    await asyncio.Event().wait()
