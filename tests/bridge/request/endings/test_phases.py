# SPDX-License-Identifier: MIT
"""An end that comes in a phase which may not be interrupted."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import flask
import pytest

from tests.bridge.request.endings.service import (
    CAUSES,
    PLACES,
    Service,
)
from tests.support.journal import Journal
from tests.support.waiting import until_set

pytestmark = pytest.mark.usefixtures("impatient")


def in_hook(service: Service, hold: Callable[..., Any]) -> None:
    service.app.before_request(hold)


def in_sync_teardown(service: Service, hold: Callable[..., Any]) -> None:
    service.app.teardown_request(hold)


def in_async_teardown(service: Service, hold: Callable[..., Any]) -> None:
    @service.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.to_thread(hold, error)


def in_teardown_of_a_context_of_the_view(service: Service, hold: Callable[..., Any]) -> None:
    @service.app.teardown_appcontext
    def teardown(error: BaseException | None) -> None:
        if "inner" in flask.g:
            hold(error)


def in_context_processor(service: Service, hold: Callable[..., Any]) -> None:
    service.app.context_processor(lambda: {"held": hold()})


# What holds the request, what its view does, and what happens in the end.
PHASES: dict[str, tuple[Callable[..., None], str, list[str]]] = {
    "hook": (in_hook, "stream", ["went on"]),
    "sync teardown": (in_sync_teardown, "stream", ["went on"]),
    "async teardown": (in_async_teardown, "stream", ["went on"]),
    "teardown of a context of the view": (
        in_teardown_of_a_context_of_the_view,
        "inner",
        ["went on", "cancelled"],
    ),
    "context processor": (in_context_processor, "render", ["went on"]),
    "a view that goes on": (lambda service, hold: None, "swallow", ["cancelled"]),
}

LEFT_OUT = {
    # A coroutine that swallows the cancellation of its own task has decided to go on, as anywhere in asyncio.
    ("loop", "a view that goes on", "cancellation"),
    # A client is watched while a coroutine waits, and a thread has none yet.
    ("thread", "hook", "disconnect"),
}
CASES = [case for case in itertools.product(PLACES, PHASES, CAUSES) if case not in LEFT_OUT]


@pytest.mark.parametrize(("place", "phase", "cause"), CASES)
async def test_what_comes_in_such_a_phase_ends_the_next_one(
    service: Service, journal: Journal, phase: str, cause: str
) -> None:
    """So sync code and teardowns run to their end, and nothing waits for ever, though nobody waits for it."""
    prepare, act, happened = PHASES[phase]

    def hold(error: BaseException | None = None) -> None:
        if not flask.has_request_context() or flask.request.path == "/":
            service.hold()
            journal.note("went on", error)

    async def body() -> AsyncIterator[bytes]:
        await journal.note_cancellation()
        yield b"never"

    async def view() -> Any:
        if act == "inner":
            with service.app.app_context():
                flask.g.inner = True
        if act == "render":
            flask.render_template_string("text")
        if act == "swallow":
            service.held.set()
            with suppress(asyncio.CancelledError):
                await journal.note_cancellation()
        return body() if act in {"stream", "swallow"} else await journal.note_cancellation()

    prepare(service, hold)
    service.add_view(view)
    request = service.begin(cause)
    await until_set(service.held)
    await service.end(request, cause)
    assert journal.names == happened
    assert "went on" not in journal or journal["went on"].value is None
    assert phase != "hook" or not service.started.is_set()
