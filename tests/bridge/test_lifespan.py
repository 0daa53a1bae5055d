# SPDX-License-Identifier: MIT
"""Rule 21: what runs when the server starts and stops. And rule 20 as far as it goes: no WebSocket yet."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync
from flask import Flask

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Environ, Message, StartResponse
from tests.support.applications import wsgi
from tests.support.asgi import lifespan
from tests.support.client import HANDSHAKE, Connection, fetch
from tests.support.flask import begin
from tests.support.server import serving
from tests.support.waiting import PATIENCE, until, until_set


def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
    raise AssertionError("no request is made")


def test_no_thread_stays_behind(app: flask.Flask) -> None:
    """Though something may hold the bridge, as a test does."""
    before = set(threading.enumerate())
    bridge = FlaskToAsgi(app)
    app.add_url_rule("/", view_func=lambda: threading.current_thread().name)
    with serving(bridge) as address:
        assert fetch(address, "/").body.startswith(b"ashapp-worker-")
    until(lambda: not [each for each in {*threading.enumerate()} - before if each.name == "ashapp-worker-1"])
    assert bridge.threads.started == 0


async def run(bridge: WsgiToAsgi, *events: str, **scope: Any) -> list[Message]:
    """Let the server start and stop *bridge*, or send the *events* given; return the answers."""
    inbox = [{"type": f"lifespan.{event}"} for event in events or ("startup", "shutdown")]
    sent: list[Message] = []

    async def receive() -> Message:
        return inbox.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(PATIENCE):
        await bridge({"type": "lifespan", **scope}, receive, send)
    assert not inbox
    return sent


STARTED, STOPPED = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}


async def test_messages_that_say_nothing_new_are_passed_over() -> None:
    assert await run(WsgiToAsgi(application), "pause", "startup", "startup", "shutdown") == [STARTED, STOPPED]


@pytest.mark.parametrize("frozen", [False, True])
async def test_full_collections_look_at_nothing_that_was_there_at_the_start(frozen: bool) -> None:  # noqa: FBT001
    counts = []
    bridge = WsgiToAsgi(application, on_shutdown=[lambda: counts.append(gc.get_freeze_count())])
    if frozen:
        gc.freeze()
    try:
        await run(bridge)
        assert counts[0] > 10_000
        assert (gc.get_freeze_count() > 0) is frozen
    finally:
        gc.unfreeze()


class Async:
    """A callable object whose call is a coroutine, which no inspection tells."""

    def __init__(self, function: Callable[[], Awaitable[None]]) -> None:
        self._function = function

    def __call__(self) -> Awaitable[None]:
        return self._function()


# How a coroutine function is registered.
ASYNC: dict[str, Callable[[Any], Callable[[], object]]] = {
    "itself": lambda function: function,
    "lambda": lambda function: lambda: function(),  # noqa: PLW0108 - what is tested
    "partial": partial,
    "object": Async,
    "async_to_sync": async_to_sync,
}


@pytest.mark.parametrize("kind", ["sync", *ASYNC])
@pytest.mark.parametrize("event", ["on_startup", "on_shutdown"])
async def test_callables_run_where_they_may(kind: str, event: str) -> None:
    on_loop: list[bool] = []

    def note() -> None:
        on_loop.append(threading.current_thread() is threading.main_thread())

    async def note_async() -> None:
        note()

    options: dict[str, Any] = {event: [note if kind == "sync" else ASYNC[kind](note_async)]}
    assert await run(WsgiToAsgi(application, **options)) == [STARTED, STOPPED]
    assert on_loop == [kind != "sync"]


def noting(log: list[str], name: str, error: type[BaseException] | None = None) -> Callable[[], None]:
    def function() -> None:
        log.append(name)
        if error is not None:
            raise error(f"{name} went wrong")

    function.__qualname__ = name
    return function


async def test_startup_is_in_order_and_shutdown_in_reverse() -> None:
    log: list[str] = []
    bridge = WsgiToAsgi(
        application,
        on_startup=iter([noting(log, "up 1"), noting(log, "up 2")]),
        on_shutdown=iter([noting(log, "down 1"), noting(log, "down 2")]),
    )
    assert await run(bridge) == [STARTED, STOPPED]
    assert log == ["up 1", "up 2", "down 2", "down 1"]
    # A server may be started again, as by a test of the application.
    assert await run(bridge) == [STARTED, STOPPED]
    assert log == ["up 1", "up 2", "down 2", "down 1"] * 2


ERRORS = [ValueError, SystemExit, StopIteration, KeyboardInterrupt, asyncio.CancelledError]


@pytest.mark.parametrize("error", ERRORS)
async def test_startup_stops_at_the_first_failure(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    functions = [noting(log, "one"), noting(log, "two", error), noting(log, "three")]
    (answer,) = (await run(WsgiToAsgi(application, on_startup=functions), "startup", "shutdown"))[:1]
    assert log == ["one", "two"]
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith("startup: two failed: ")
    assert "two went wrong" in answer["message"]
    (record,) = caplog.records
    assert record.getMessage() == "startup: two failed"
    assert record.exc_info


@pytest.mark.parametrize("error", ERRORS)
async def test_shutdown_calls_all_whatever_fails(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    functions = [noting(log, "one", error), noting(log, "two"), noting(log, "three", error)]
    _, answer = await run(WsgiToAsgi(application, on_shutdown=functions))
    assert log == ["three", "two", "one"]
    assert answer["type"] == "lifespan.shutdown.failed"
    three, one = answer["message"].split("; ")
    assert three.startswith("shutdown: three failed: ")
    assert one.startswith("shutdown: one failed: ")
    assert len(caplog.records) == 2


async def test_what_has_no_name_is_told_by_its_repr() -> None:
    (answer, _) = await run(WsgiToAsgi(application, on_startup=[partial(int, "x")]))
    assert "functools.partial(<class 'int'>, 'x') failed: ValueError" in answer["message"]


# -- a context manager


def manager_of(log: list[str], name: str = "manager", state: Any = None, fail: str = "") -> Any:
    @asynccontextmanager
    async def manager(app: Any) -> AsyncIterator[Any]:
        if fail == "before":
            raise ValueError(fail)
        log.append(f"enter {name}")
        try:
            yield state
        finally:
            log.append(f"leave {name}")
        if fail == "after":
            raise ValueError(fail)

    return manager


@pytest.mark.parametrize(
    ("given", "state", "expected"),
    [
        ({"client": 1}, {"state": {"a": 0}}, {"state": {"a": 0, "client": 1}}),
        ({"client": 1}, {}, {}),
        (None, {"state": {}}, {"state": {}}),
        ("text", {"state": {}}, {"state": {}}),
    ],
)
async def test_what_a_manager_gives_is_the_state_of_the_server(
    given: Any, state: dict[str, Any], expected: dict[str, Any]
) -> None:
    await run(WsgiToAsgi(application, lifespan=manager_of([], state=given)), **state)
    assert state == expected


async def test_a_manager_that_fails_to_start() -> None:
    log: list[str] = []
    bridge = WsgiToAsgi(application, lifespan=manager_of(log, fail="before"), on_startup=[noting(log, "up")])
    (answer, _) = await run(bridge)
    assert answer["type"] == "lifespan.startup.failed"
    assert "manager failed: ValueError: before" in answer["message"]
    assert log == []


async def test_a_manager_that_fails_to_stop() -> None:
    log: list[str] = []
    bridge = WsgiToAsgi(application, lifespan=manager_of(log, fail="after"))
    assert (await run(bridge))[1]["type"] == "lifespan.shutdown.failed"
    assert log == ["enter manager", "leave manager"]


async def test_a_manager_is_left_if_the_startup_fails_and_the_server_gives_up() -> None:
    log: list[str] = []
    bridge = WsgiToAsgi(application, lifespan=manager_of(log), on_startup=[noting(log, "up", ValueError)])
    with pytest.raises(IndexError):  # from receive()
        await run(bridge, "startup")
    assert log == ["enter manager", "up", "leave manager"]


async def test_what_the_application_has_counts_too() -> None:
    log: list[str] = []
    app: Any = Flask(__name__)
    app.on_startup = noting(log, "app up")
    app.on_shutdown = [noting(log, "app down 1"), noting(log, "app down 2")]
    app.lifespan = manager_of(log, "app")
    bridge = FlaskToAsgi(
        app,
        on_startup=[noting(log, "up")],
        on_shutdown=[noting(log, "down")],
        lifespan=manager_of(log, "ours"),
    )
    assert await run(bridge) == [STARTED, STOPPED]
    assert log == [
        *("enter ours", "enter app", "up", "app up"),
        *("app down 2", "app down 1", "down", "leave app", "leave ours"),
    ]


@pytest.mark.parametrize("streams", [False, True])
async def test_the_shutdown_waits_for_requests_on_threads_that_the_server_has_given_up(streams: bool) -> None:  # noqa: FBT001
    held, release = threading.Event(), threading.Event()
    order: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        try:
            start_response("200 OK", [])
            if streams:
                yield b"first"
            held.set()
            release.wait(20)
            yield b"second"
        finally:
            order.append("finally")

    bridge = WsgiToAsgi(application, on_shutdown=[lambda: order.append("shutdown")])
    async with lifespan(bridge):
        request = begin(bridge)
        await until_set(held)
        request.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request.end()
        assert bridge.admission.in_flight == 1
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert order == ["finally", "shutdown"]
    assert bridge.admission.in_flight == 0


# -- over sockets


def hello() -> Flask:
    app = Flask(__name__)
    app.add_url_rule("/", "hello", lambda: "hello")
    return app


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_what_is_opened_at_startup_is_used_by_views(loop: str) -> None:
    """Rules 12 and 21: all async parts have the loop of the views."""
    app = hello()
    calls: list[str] = []
    opened: dict[str, Any] = {}

    async def work(queue: asyncio.Queue[asyncio.Future[str]]) -> None:
        while True:
            (await queue.get()).set_result("from the task")

    async def start() -> None:
        opened["queue"] = asyncio.Queue()
        opened["task"] = asyncio.create_task(work(opened["queue"]))

    @asynccontextmanager
    async def manager(app: Flask) -> AsyncIterator[dict[str, str]]:
        calls.append("opened")
        yield {"greeting": "hi"}
        opened["task"].cancel()
        calls.append("closed")

    @app.get("/async")
    async def view() -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await opened["queue"].put(answer)
        return f"{await answer} {flask.request.environ['asgi.scope']['state']['greeting']}"

    bridge = FlaskToAsgi(
        app, lifespan=manager, on_startup=[start], on_shutdown=[lambda: calls.append("down")]
    )
    with serving(bridge, loop=loop, lifespan="on") as address:
        for _ in range(3):
            assert fetch(address, "/async").body == b"from the task hi"
        assert fetch(address, "/").body == b"hello"
        assert calls == ["opened"]
    assert calls == ["opened", "down", "closed"]
    assert opened["task"].cancelled()


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_a_websocket_is_answered_by_an_application_that_knows_none(http: str) -> None:
    """Rule 20. Its response denies the handshake, and requests are served as before."""
    bridge = WsgiToAsgi(wsgi.application(lambda: [b"hello"]))
    with serving(bridge, http=http, ws="websockets-sansio", lifespan="off") as address:
        with Connection(address) as connection:
            assert connection.request("GET", "/", HANDSHAKE).body == b"hello"
        assert fetch(address, "/").body == b"hello"
