# SPDX-License-Identifier: MIT
import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Any

import pytest

from ashapp.observe.observation import INFO, Message, Observation, Scope, current
from ashapp.observe.observer import Observer
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import eventually


class Journal:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.seen: list[Observation] = []
        self.errors: list[BaseException | None] = []

    def begin(self, observation: Observation) -> None:
        self.events.append("begin")
        assert observation.scope[INFO] is observation

    def __call__(self, observation: Observation) -> None:
        self.events.append("end")
        self.seen.append(observation)
        self.errors.append(observation.error)


async def answer(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def application(*sent: str, then: BaseException | None = None) -> Any:
    """Return an application that sends a start, a part of a body or its end, and ends or raises *then*."""
    messages: dict[str, Message] = {
        "start": {"type": "http.response.start", "status": 202, "headers": []},
        "part": {"type": "http.response.body", "body": b"par", "more_body": True},
        "end": {"type": "http.response.body", "body": b"t"},
    }

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        for name in sent:
            await send(messages[name])
        if then is not None:
            raise then

    return app


LOOKUP = LookupError("nothing here")
CANCELLED = asyncio.CancelledError()


@pytest.mark.parametrize(
    ("app", "raised", "status", "sent", "disconnected", "noted"),
    [
        (application("start", "part", "end"), None, 202, 4, False, None),
        (application("start", "part"), None, 202, 3, True, None),
        (application(), None, None, 0, True, None),
        (application(then=LOOKUP), LOOKUP, 500, 0, False, LOOKUP),
        (application("start", "part", then=LOOKUP), LOOKUP, 202, 3, False, LOOKUP),
        (application("start", "end", then=LOOKUP), LOOKUP, 202, 1, False, None),
        # The application cancels itself.
        (application(then=CANCELLED), CANCELLED, 500, 0, False, CANCELLED),
    ],
)
async def test_a_request_ends_once_with_what_came_of_it(
    app: Any,
    raised: BaseException | None,
    status: int | None,
    sent: int,
    disconnected: object,
    noted: BaseException | None,
) -> None:
    def never() -> None:
        raise AssertionError

    journal, client = Journal(), Client()
    try:
        await Observer(app, [journal], answer_cancelled=never)(http_scope(), client.receive, client.send)
    except (LookupError, asyncio.CancelledError) as error:
        assert error is raised  # noqa: PT017 - there may be none
    (seen,) = journal.seen
    assert journal.events == ["begin", "end"]
    assert (seen.status, seen.sent, seen.disconnected) == (status, sent, disconnected)
    assert journal.errors == [noted]
    assert seen.error is None, "its traceback refers to the observation"
    assert not client.sent or client.headers == {"x-request-id": seen.request_id}


@pytest.mark.parametrize("disconnected", [True, False])
async def test_what_uvicorn_drops_without_a_word_is_a_disconnect(*, disconnected: bool) -> None:
    class Cycle:
        def __init__(self) -> None:
            self.disconnected = disconnected

        async def send(self, message: Any) -> None:
            pass

    cycle = Cycle()
    journal = Journal()
    await Observer(answer, [journal])(http_scope(), Client().receive, cycle.send)
    assert (journal.seen[0].status, journal.seen[0].disconnected) == (200, disconnected)


@pytest.mark.parametrize(
    ("begun", "is_answered", "status"), [(False, False, 500), (False, True, 503), (True, True, 200)]
)
async def test_a_request_that_the_server_cancels_ends_and_may_be_answered(
    begun: object, is_answered: object, status: int
) -> None:
    waits = asyncio.Event()

    async def wait(scope: Scope, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        waits.set()
        await asyncio.Event().wait()

    async def apologize(send: Any) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    journal, client = Journal(), Client()
    observer = Observer(wait, [journal], **({"answer_cancelled": lambda: apologize} if is_answered else {}))
    task = asyncio.ensure_future(observer(http_scope(), client.receive, client.send))
    await waits.wait()
    task.cancel()
    with nullcontext() if is_answered else pytest.raises(asyncio.CancelledError):
        await task
    assert journal.events == ["begin", "end"]
    assert journal.seen[0].status == status
    assert not client.sent or client.status == status
    assert [type(error) for error in journal.errors] == [
        type(None) if is_answered else asyncio.CancelledError
    ]


async def test_what_a_sink_raises_is_logged_only_and_not_each_time(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def begin(self, observation: Observation) -> None:
            raise RuntimeError("at the beginning")

        def __call__(self, observation: Observation) -> None:
            raise RuntimeError("at the end")

    journal = Journal()
    observer = Observer(answer, [Broken(), journal])
    for _ in range(3):
        client = await fetch(observer)
        assert client.complete
    assert journal.events == ["begin", "end"] * 3
    assert [record.exc_info and str(record.exc_info[1]) for record in caplog.records] == [
        "at the beginning",
        "at the end",
    ]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


async def test_other_scopes_are_passed_through() -> None:
    calls = []

    def app(*args: Any) -> Awaitable[None]:
        calls.append(args)
        return asyncio.sleep(0)

    async def send(message: Message) -> None: ...

    journal = Journal()
    args = ({"type": "lifespan"}, Client().receive, send)
    await Observer(app, [journal])(*args)
    assert calls == [args]
    assert journal.events == []


async def test_nothing_stands_in_for_the_send_of_a_server_that_takes_note() -> None:
    class Server:
        takes_note = True
        observation: Observation | None = None

        async def send(self, message: Message) -> None: ...

    async def look(scope: Scope, receive: Any, send: Any) -> None:
        assert send == server.send
        assert server.observation is scope[INFO]

    server = Server()
    await Observer(look)(http_scope(), Client().receive, server.send)
    assert server.observation is None


async def test_layers_below_and_the_server_find_the_observation() -> None:
    inside = []

    async def look(scope: Scope, receive: Any, send: Any) -> None:
        inside.append(current.get())
        raise LookupError

    journal = Journal()
    with pytest.raises(LookupError):
        await Observer(look, [journal])(http_scope(), Client().receive, Client().send)
    assert inside == journal.seen
    assert current.get() is journal.seen[0], "the server logs the error in this context"


async def test_nothing_is_left_for_the_garbage_collector() -> None:
    class Token: ...

    async def serve() -> weakref.ref[Token]:
        scope = http_scope(token=Token())
        client = Client()
        await Observer(answer)(scope, client.receive, client.send)
        assert INFO not in scope
        current.set(None)
        return weakref.ref(scope["token"])

    gc.collect()
    gc.disable()
    try:
        assert (await serve())() is None
    finally:
        gc.enable()


class Many:
    """A sink that takes many at once, and fails if *error* is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self._error = error
        self._waiting: list[Observation] = []
        self.put = self._waiting.append
        self.flushed: list[int] = []

    def flush(self) -> None:
        self.flushed.append(len(self._waiting))
        self._waiting.clear()
        if self._error is not None:
            raise self._error


async def test_many_that_end_are_told_of_together_soon(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    failing, many = Many(LookupError("oops")), Many()
    observer = Observer(app, [failing, many])
    monkeypatch.setattr("ashapp.observe.observer._PERIOD", 0.2)
    for _ in range(2):
        await observer(http_scope(), None, Client().send)
    assert many.flushed == []
    await asyncio.sleep(0)
    assert many.flushed == failing.flushed == [2]
    assert "can't take note of a request" in caplog.text
    await observer(http_scope(), None, Client().send)
    await asyncio.sleep(0)
    assert many.flushed == [2], "so soon after the last time it waits for more"
    await eventually(lambda: many.flushed == [2, 1])
