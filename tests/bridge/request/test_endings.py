# SPDX-License-Identifier: MIT
"""The client leaves, the time is up, the server cancels: what waits is cancelled, and teardown has peace."""

import asyncio
import itertools
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext, suppress
from typing import Any

import flask
import pytest

from ashapp.bridge import ClientDisconnected, FlaskToAsgi
from ashapp.bridge.messages.types import Message
from tests.support.applications.decorators import ensured
from tests.support.asgi import Client, fetch, http_scope, lifespan
from tests.support.flask import Pending, begin
from tests.support.journal import Journal
from tests.support.waiting import eventually, until_set

pytestmark = pytest.mark.usefixtures("impatient")

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


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0.02)


@pytest.fixture
def place() -> str:
    return "loop"


@pytest.fixture
def service(app: flask.Flask, journal: Journal, place: str) -> Service:
    return Service(app, journal, place)


async def wait() -> None:
    await asyncio.Event().wait()


# -- a coroutine that waits


@in_each_place
@by_each_cause
async def test_a_view_is_cancelled_and_torn_down_in_peace(
    service: Service, journal: Journal, cause: str
) -> None:
    """And may clean up first."""

    async def view() -> None:
        try:
            await journal.note_cancellation()
        finally:
            await asyncio.sleep(0.01)
            await asyncio.create_task(asyncio.sleep(0.01))
            journal.note("cleaned up")

    service.add_view(view, teardowns=True)
    await service.begin_and_end(cause)
    assert journal.names == ["cancelled", "cleaned up", *TORN_DOWN]
    assert all(isinstance(entry.value, asyncio.CancelledError) for entry in journal.entries[2:])
    assert [entry.on_loop for entry in journal.entries] == [True, True, True, False]


@pytest.mark.parametrize("where", ["hook", "spinning", "group"])
@by_each_cause
async def test_so_is_whatever_else_of_it_waits(
    service: Service, journal: Journal, where: str, cause: str
) -> None:
    async def view() -> str:
        if where == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(wait())
        while True:  # noqa: ASYNC110 - spins
            await asyncio.sleep(0)

    service.add_teardowns()
    if where == "hook":

        @service.app.before_request
        async def before() -> None:
            if flask.request.path == "/":
                service.started.set()
                await wait()

    service.add_view(view)
    await service.begin_and_end(cause)
    assert journal.names == TORN_DOWN


@pytest.mark.parametrize("answers", [True, False])
async def test_a_view_may_answer_to_nobody_or_raise_another_error(
    service: Service, journal: Journal, caplog: pytest.LogCaptureFixture, *, answers: bool
) -> None:
    async def view() -> str:
        with suppress(asyncio.CancelledError):
            await wait()
        if not answers:
            raise LookupError
        await asyncio.sleep(0.01)
        return "to nobody"

    service.add_view(view, teardowns=True)
    request = service.begin()
    await service.end(request, "disconnect")
    assert journal.names == TORN_DOWN
    assert isinstance(journal["sync teardown"].value, LookupError) or answers
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == ([] if answers else [LookupError])


@pytest.mark.parametrize("cause", ["disconnect", "time-out"])
async def test_a_teardown_that_fails_is_told_to_the_server_or_logged(
    service: Service, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    @service.app.teardown_request
    def teardown(error: BaseException | None) -> None:
        raise ZeroDivisionError

    service.add_view(wait)
    request = service.begin(cause)
    await bring_about(request, cause)
    with pytest.raises(ZeroDivisionError) if cause == "disconnect" else nullcontext():
        await request.end()
    told = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert told == ([] if cause == "disconnect" else [ZeroDivisionError])


# -- phases that may not be interrupted


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
        if flask.request.path == "/":
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


# -- cancellation by the server


async def test_cancelled_again_and_again(service: Service, journal: Journal) -> None:
    """As the cancel scopes of anyio do, each turn of the loop, until the task has ended."""
    service.add_view(wait, teardowns=True)
    request = service.begin()
    await service.started.wait()
    while not request.task.done():
        request.task.cancel()
        await asyncio.sleep(0)
    assert request.task.cancelled()
    assert journal.names == TORN_DOWN


async def test_cancelled_before_it_began(service: Service) -> None:
    service.add_view(wait)
    request = service.begin()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert not service.started.is_set()


async def test_cancelled_by_the_view_itself(service: Service, journal: Journal) -> None:
    async def view() -> None:
        request.task.cancel()
        await asyncio.sleep(0)

    service.add_view(view, teardowns=True)
    request = service.begin()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TORN_DOWN


async def test_cancelled_together_with_a_disconnect(service: Service, journal: Journal) -> None:
    service.add_view(wait, teardowns=True)
    request = service.begin()
    await request.client.until(lambda client: client.asked)
    request.client.leave()
    await asyncio.sleep(0)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert journal.names == TORN_DOWN


async def test_a_cancellation_of_ours_is_not_left_for_the_server_to_find(service: Service) -> None:
    service.add_view(wait)
    request = service.begin()
    async with asyncio.timeout(10):
        await asyncio.sleep(0)
        request.client.leave()
        await request.task
    assert request.task.cancelling() == 0


@pytest.mark.parametrize("where", ["view", "body"])
async def test_what_a_task_group_leaves_behind_is_no_cancellation_by_the_server(
    service: Service, journal: Journal, where: str
) -> None:
    """Up to Python 3.12 a task group whose task fails leaves its own task with a count too high."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("failed")

    async def body() -> AsyncIterator[str]:
        yield "first"
        await journal.note_cancellation()

    async def view() -> Any:
        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        if where == "body":
            return body()
        return await journal.note_cancellation()

    service.add_view(view)
    request = service.begin()
    await request.client.until(lambda client: client.sent if where == "body" else client.asked)
    request.client.leave()
    await request.end()
    assert journal.names == ["cancelled"]


@pytest.mark.parametrize("error", [SystemExit, ZeroDivisionError])
async def test_cancelled_in_a_teardown_of_a_view_that_raised(
    service: Service, journal: Journal, error: type[BaseException]
) -> None:
    """Where Flask passes on what the view raised, no response has been started."""
    service.app.config["PROPAGATE_EXCEPTIONS"] = True

    @service.app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        service.started.set()
        await asyncio.sleep(0.02)
        journal.note("teardown", error)

    @service.app.get("/")
    async def view() -> str:
        raise error

    request = service.begin()
    await service.started.wait()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    assert isinstance(journal["teardown"].value, error)


@pytest.mark.parametrize("closes", [False, True])
async def test_cancelled_while_a_complete_response_is_sent(
    service: Service, journal: Journal, *, closes: bool
) -> None:
    async def view() -> flask.Response:
        response = flask.Response("x")
        if closes:
            response.call_on_close(lambda: journal.note("closed"))
        return response

    sending = asyncio.Event()

    async def send(_: Message) -> None:
        sending.set()
        await wait()

    service.add_view(view, teardowns=True)
    bridge = FlaskToAsgi(service.app)
    task = asyncio.create_task(bridge(http_scope(), Client().receive, send))
    await sending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert journal.names == [*TORN_DOWN, *(["closed"] if closes else [])]
    await eventually(lambda: bridge.request_threads.busy == 0)


@pytest.mark.parametrize("where", ["before", "teardown"])
async def test_a_request_thread_that_is_stuck_does_not_keep_the_server(
    service: Service, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stuck(error: BaseException | None = None) -> None:
        service.hold()

    async def view() -> str:
        return "hello"

    if where == "before":
        service.app.before_request(stuck)
    else:
        service.app.teardown_request(stuck)
    service.add_view(view)
    request = service.begin(task_grace=0.05)
    await until_set(service.held)
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.end()
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "GET /" in record.getMessage()
    assert "stuck" in record.getMessage()
    service.release.set()
    assert (await fetch(service.bridge)).body == b"hello"


@pytest.mark.parametrize("served", [True, False])
async def test_a_timeout_of_the_views_own_waits_for_the_request_thread(
    service: Service, *, served: bool
) -> None:
    """For longer than ``task_grace``, which is for a server that stops."""

    @service.app.context_processor
    def slow() -> dict[str, str]:
        service.hold()
        return {"name": "x"}

    async def view() -> str:
        try:
            async with asyncio.timeout(0.05):  # noqa: ASYNC100 - the request thread is waited for
                return flask.render_template_string("{{ name }}")
        except TimeoutError:
            return "too late"

    service.add_view(view)
    bridge = FlaskToAsgi(service.app, task_grace=0.05)
    async with lifespan(bridge) if served else nullcontext():
        request = begin(bridge)
        await until_set(service.held)
        await asyncio.sleep(0.3)
        service.release.set()
        assert (await request.end()).body == b"too late"


# -- a client that leaves


@pytest.mark.parametrize("delay", [0.01, 10])
async def test_a_client_is_watched_only_while_it_waits(
    service: Service, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", delay)

    async def view() -> str:
        await asyncio.sleep(0.05)
        return "hello"

    service.add_view(view)
    client = await service.begin().end()
    asked = client.asked
    assert (asked > 0) == (delay < 1)
    await asyncio.sleep(0.05)
    assert client.asked == asked
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_has_left_before(service: Service, journal: Journal) -> None:
    service.add_view(wait, teardowns=True)
    client = Client()
    client.leave()
    await begin(FlaskToAsgi(service.app), client=client).end()
    assert service.started.is_set()
    assert journal.names == TORN_DOWN


@in_each_place
async def test_a_client_that_leaves_while_its_body_is_read_for_long(
    service: Service, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The read tells the view, though its client is watched by then; what it awaits later is cancelled."""
    monkeypatch.setattr("ashapp.bridge.request.wsgi_call._WATCH_DELAY", 0)

    async def view() -> None:
        with suppress(ClientDisconnected):
            flask.request.get_data()
        await journal.note_cancellation()

    service.add_view(view, teardowns=True)
    client = Client(b"part", more=True)
    request = begin(FlaskToAsgi(service.app), "POST", client=client, headers=CHUNKED)
    await service.started.wait()
    await asyncio.sleep(0.1)
    client.leave()
    await request.end()
    assert journal.names == ["cancelled", *TORN_DOWN]


# -- the time that a request has


async def test_a_view_that_will_not_be_cancelled_is_answered_for(service: Service, journal: Journal) -> None:
    end = asyncio.Event()

    async def view() -> str:
        while not end.is_set():
            with suppress(asyncio.CancelledError):
                await end.wait()
        return "too late"

    service.add_view(view, teardowns=True)
    request = service.begin("time-out")
    await bring_about(request, "time-out")
    assert not request.task.done()
    end.set()
    client = await request.end()
    assert (client.status, client.complete) == (504, True)
    assert journal.names == TORN_DOWN


async def test_the_time_for_an_upload_counts(service: Service) -> None:
    async def view() -> str:
        return str(len(flask.request.get_data()))

    service.add_view(view)
    bridge = FlaskToAsgi(service.app, request_timeout=0.05)
    headers = [(b"content-length", b"5")]
    request = begin(bridge, "POST", client=Client(b"ab", more=True), headers=headers)
    assert (await request.end()).status == 504


@in_each_place
@pytest.mark.parametrize("begins", [True, False])
async def test_the_time_is_for_a_stream_to_begin(service: Service, journal: Journal, *, begins: bool) -> None:
    async def body() -> AsyncIterator[str]:
        journal.note("begun")
        try:
            if begins:
                yield "a"
            await asyncio.sleep(0.5)
            yield "b"
        finally:
            journal.note("closed")

    async def view() -> Any:
        return body()

    service.add_view(view)
    client = await fetch(FlaskToAsgi(service.app, request_timeout=0.3))
    assert (client.status, client.complete) == (200 if begins else 504, True)
    assert client.body == b"ab" or not begins
    await eventually(lambda: journal.names in ([], ["begun", "closed"]))


async def test_a_client_that_has_gone_is_not_told_that_its_time_is_up(service: Service) -> None:
    class Gone(Client):
        async def send(self, message: Any) -> None:
            raise ConnectionResetError

    service.add_view(wait)
    await begin(FlaskToAsgi(service.app, request_timeout=0.05), client=Gone()).end()
