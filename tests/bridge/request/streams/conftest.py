# SPDX-License-Identifier: MIT
"""Streams in each form that a view may give them, of a view on a thread and on the loop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import flask
import pytest

from tests.support.journal import Journal
from tests.support.waiting import PATIENCE


class Stream:
    """A body by a script of items, of functions that make one, of events to wait for, of errors to raise."""

    def __init__(self, journal: Journal, script: Iterable[Any]) -> None:
        self.journal = journal
        self.script = script
        self.begun = 0
        self.produced = 0
        #: Seconds after each item.
        self.pause = 0.0
        #: Set where it waits for an event.
        self.waits = threading.Event()

    def sync(self) -> Iterator[Any]:
        self.begun += 1
        try:
            for step in self.script:
                if isinstance(step, threading.Event):
                    self.waits.set()
                    assert step.wait(PATIENCE)
                else:
                    yield self._take(step)
                    time.sleep(self.pause)
        except BaseException as error:
            self.journal.note(type(error).__name__)
            raise
        finally:
            self.journal.note("closed", flask.has_request_context() and flask.request.path)

    async def asynchronous(self) -> AsyncIterator[Any]:
        self.begun += 1
        try:
            for step in self.script:
                if isinstance(step, threading.Event):
                    self.waits.set()
                    deadline = time.monotonic() + PATIENCE
                    while not step.is_set():
                        assert time.monotonic() < deadline
                        await asyncio.sleep(0.001)
                else:
                    yield self._take(step)
                    if self.pause:
                        await asyncio.sleep(self.pause)
        except BaseException as error:
            self.journal.note(type(error).__name__)
            raise
        finally:
            await asyncio.sleep(0.001)
            self.journal.note("closed", flask.has_request_context() and flask.request.path)

    def _take(self, step: Any) -> Any:
        if isinstance(step, BaseException):
            raise step
        self.produced += 1
        return step() if callable(step) else step


with_context: Callable[[Any], Any] = flask.stream_with_context

FORMS: dict[str, Callable[[Stream], Any]] = {
    "sync": lambda stream: stream.sync(),
    "sync, context": lambda stream: with_context(stream.sync()),
    "async": lambda stream: stream.asynchronous(),
    "async, context": lambda stream: with_context(stream.asynchronous()),
    "view": lambda stream: stream.asynchronous(),
}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stream(
    app: flask.Flask, journal: Journal, add_view: Callable[..., None], form: str, place: str
) -> Stream:
    """A stream with an empty script, of a view of the application for ``/``."""
    stream = Stream(journal, [])
    if form != "view":
        add_view(lambda: FORMS[form](stream))
        return stream
    app.add_url_rule("/", "view", stream.asynchronous, methods=["GET", "POST"])
    if place == "thread":
        inner = app.wsgi_app
        app.wsgi_app = lambda *args: inner(*args)  # type: ignore[method-assign]  # noqa: PLW0108 - middleware
    return stream
