# SPDX-License-Identifier: MIT
"""What ends a request while it may not be cancelled is acted on in the next phase in which it may be."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.applications.decorators import ensured
from tests.support.asgi import fetch
from tests.support.flask import Pending, begin
from tests.support.waiting import eventually, until_set


class Service:
    """An application that can be held in each phase, and then would wait for ever."""

    def __init__(self, app: flask.Flask, kind: str) -> None:
        self.app = app
        self.kind = kind
        self.held, self.release = threading.Event(), threading.Event()
        self.ended: list[str] = []

    def hold(self) -> None:
        self.held.set()
        self.release.wait(20)

    def hold_in_teardown(self) -> None:
        @self.app.teardown_request
        def teardown(error: BaseException | None) -> None:
            if flask.request.path == "/":
                self.hold()

    def hold_in_async_teardown(self) -> None:
        @self.app.teardown_request
        async def teardown(error: BaseException | None) -> None:
            if flask.request.path == "/":
                await asyncio.to_thread(self.hold)

    def hold_in_teardown_of_a_context_of_the_view(self) -> None:
        @self.app.teardown_appcontext
        def teardown(error: BaseException | None) -> None:
            if "inner" in flask.g:
                self.hold()

    async def view(self, act: str) -> Any:
        if act == "inner":
            with self.app.app_context():
                flask.g.inner = True
            await self.wait("view")
        if act == "swallow":
            self.held.set()
            with suppress(asyncio.CancelledError):
                await self.wait("view")
        return self.body()

    async def body(self) -> AsyncIterator[bytes]:
        try:
            await asyncio.Event().wait()
            yield b"never"
        finally:
            self.ended.append("body")

    async def wait(self, name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)

    def serve(self, act: str, **options: Any) -> FlaskToAsgi:
        async def view() -> Any:
            return await self.view(act)

        self.app.add_url_rule("/", "view", view if self.kind == "async" else ensured(view))
        self.app.add_url_rule("/next", "next", lambda: "next")
        return FlaskToAsgi(self.app, **options)


PHASES: dict[str, tuple[Callable[[Service], None], str]] = {
    "sync teardown": (Service.hold_in_teardown, "stream"),
    "async teardown": (Service.hold_in_async_teardown, "stream"),
    "teardown of a context of the view": (Service.hold_in_teardown_of_a_context_of_the_view, "inner"),
    "a view that goes on": (lambda service: None, "swallow"),
}


async def leave(request: Pending) -> None:
    request.client.leave()
    await asyncio.sleep(0.01)


async def cancel(request: Pending) -> None:
    request.task.cancel()
    await asyncio.sleep(0.01)


async def wait_for_timeout(request: Pending) -> None:
    await request.client.until(lambda client: len(client.sent) == 2)


CAUSES = {"disconnect": leave, "cancellation": cancel, "time-out": wait_for_timeout}


CASES = [
    (kind, phase, cause)
    for kind in ("async", "decorated")
    for phase in PHASES
    for cause in CAUSES
    # A coroutine that swallows the cancellation of its own task has decided to go on, as anywhere in asyncio.
    if (kind, phase, cause) != ("async", "a view that goes on", "cancellation")
]


@pytest.mark.parametrize(("kind", "phase", "cause"), CASES)
async def test_nothing_goes_on(app: flask.Flask, kind: str, phase: str, cause: str) -> None:
    service = Service(app, kind)
    prepare, act = PHASES[phase]
    prepare(service)
    bridge = service.serve(act, request_timeout=0.3 if cause == "time-out" else None)
    request = begin(bridge)
    await until_set(service.held)
    if cause == "disconnect":  # which is looked for after a while
        await request.client.until(lambda client: client.asked)
    await CAUSES[cause](request)
    service.release.set()
    async with asyncio.timeout(20):
        await asyncio.wait([request.task])

    assert request.task.cancelled() == (cause == "cancellation")
    await eventually(lambda: bridge.admission.in_flight == 0)
    await eventually(lambda: (bridge.threads.busy, bridge.request_threads.busy) == (0, 0))
    assert set(service.ended) <= {"view", "body"}
    assert ("view" in service.ended) == (act != "stream")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert (await fetch(bridge, target=b"/next")).body == b"next"
