# SPDX-License-Identifier: MIT
"""Values of ``threading.local`` that belong to a request, where its view runs on the loop."""

import _threading_local
import asyncio
import contextvars
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker
from sqlalchemy.pool import StaticPool

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.concurrency.threads.thread_locals import isolate_thread_locals, local, open_request_locals
from tests.support.applications.decorators import ensured
from tests.support.asgi import fetch
from tests.support.flask import begin, make_app, since
from tests.support.waiting import eventually


@pytest.fixture
def app() -> flask.Flask:
    return make_app()


@pytest.fixture(autouse=True)
def _isolated() -> Iterator[None]:
    """Replace ``threading.local`` for one test."""
    original = threading.local
    assert isolate_thread_locals()
    yield
    threading.local = original


def in_a_request(function: Callable[[], Any]) -> Any:
    """Call *function* as the code of a request on the loop is called."""

    def call() -> Any:
        open_request_locals()
        return function()

    return contextvars.Context().run(call)


# -- what a threading.local does, in a request and outside of one


class WithInit(local):
    kind = "class"

    def __init__(self, number: int, *, name: str = "") -> None:
        self.number = number
        self.name = name

    @property
    def double(self) -> int:
        return self.number * 2

    @double.setter
    def double(self, value: int) -> None:
        self.number = value // 2

    def method(self) -> str:
        return f"{self.kind} {self.number}"


class State:
    def __init__(self, **values: int) -> None:
        vars(self).update(values)


class WithBase(State, local):
    """As peewee's: a class of its own first."""


@pytest.mark.parametrize("run", [in_a_request, lambda function: function()], ids=["request", "thread"])
class TestLocal:
    def test_attributes(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        def use() -> None:
            values = threading.local()
            assert not hasattr(values, "x")
            with pytest.raises(AttributeError, match="no attribute 'x'"):
                values.x  # noqa: B018
            with pytest.raises(AttributeError):
                del values.x
            values.x = 1
            assert (values.x, vars(values)) == (1, {"x": 1})
            assert "x" in dir(values)
            del values.x
            assert vars(values) == {}
            with pytest.raises(AttributeError):
                values.__dict__ = {}

        run(use)

    def test_a_subclass(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        def use() -> None:
            values = WithInit(1, name="n")
            assert (values.number, values.name, values.double, values.method()) == (1, "n", 2, "class 1")
            values.double = 8
            values.kind = "own"
            assert (vars(values), values.method()) == ({"number": 4, "name": "n", "kind": "own"}, "own 4")
            assert isinstance(values, threading.local)

        run(use)

    def test_several_bases(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        def use() -> None:
            values = WithBase(a=1)
            values.b = 2
            assert vars(values) == {"a": 1, "b": 2}

        run(use)

    def test_arguments_need_an_init(self, run: Callable[[Callable[[], Any]], Any]) -> None:
        with pytest.raises(TypeError):
            run(lambda: threading.local(1))  # type: ignore[call-arg]


def test_each_request_has_values_of_its_own_and_so_has_each_thread() -> None:
    values = WithInit(1)
    values.number = 2

    def use() -> int:
        before = values.number
        values.number = 3
        return before

    assert in_a_request(use) == 1
    assert in_a_request(use) == 1
    assert values.number == 2
    with ThreadPoolExecutor(1) as other:
        assert [other.submit(use).result() for _ in range(2)] == [1, 3]


def test_values_end_with_the_request_and_the_local_with_its_last_user() -> None:
    class Value:
        pass

    values = threading.local()
    seen: list[weakref.ref[Any]] = []

    def use() -> None:
        values.x = Value()
        seen.append(weakref.ref(values.x))
        seen.append(weakref.ref(WithInit(1)))

    in_a_request(use)
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_what_another_tool_has_replaced_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "local", _threading_local.local)
    assert isolate_thread_locals() is False
    assert vars(threading)["local"] is _threading_local.local


# -- requests


def on_own_thread(view: Callable[[], Any]) -> Callable[[], Any]:
    """Return a view that reaches an async one from a thread of its own."""

    def call() -> Any:
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(
                contextvars.copy_context().run, flask.current_app.ensure_sync(view)
            ).result()

    return call


@pytest.mark.parametrize("kind", ["async", "decorated", "asgiref", "own thread"])
async def test_requests_at_once_and_one_after_the_other(app: flask.Flask, kind: str) -> None:
    values = threading.local()
    waiting = 0
    all_wait = asyncio.Event()
    count = 100 if kind == "async" else 30  # the others hold a thread of the pool each
    if kind == "async":

        @app.before_request
        def before() -> None:
            values.hook = flask.request.args["name"]

    async def view() -> str:
        nonlocal waiting
        assert not hasattr(values, "name")
        values.name = flask.request.args["name"]
        waiting += 1
        if waiting == count:
            all_wait.set()
        await all_wait.wait()
        in_task = await asyncio.create_task(look())
        in_thread = await asyncio.to_thread(hasattr, values, "name")
        if kind == "async":
            assert await sync_to_async(getattr)(values, "hook") == values.name
        return f"{values.name} {in_task} {in_thread}"

    async def look() -> str:
        return str(values.name)

    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        if kind == "async":
            assert vars(values) == {"hook": flask.request.args["name"]}
        return response

    reached: dict[str, Any] = {
        "decorated": ensured(view),
        "asgiref": async_to_sync(view),
        "own thread": on_own_thread(view),
    }
    app.add_url_rule("/", "view", reached.get(kind, view))
    bridge = FlaskToAsgi(app)
    for start in (0, count):
        waiting = 0
        all_wait.clear()
        names = [f"n{number}" for number in range(start, start + count)]
        clients = await asyncio.gather(*(fetch(bridge, target=f"/?name={name}".encode()) for name in names))
        assert [client.body.decode() for client in clients] == [f"{name} {name} False" for name in names]
    assert not hasattr(values, "name")


async def test_sync_views_keep_what_their_thread_has(app: flask.Flask) -> None:
    """As under any WSGI server: a connection for each thread outlives the request."""
    values = threading.local()

    @app.get("/")
    def view() -> str:
        values.count = getattr(values, "count", 0) + 1
        return str(values.count)

    bridge = FlaskToAsgi(app, threads=1)
    assert [(await fetch(bridge)).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_a_scoped_session(app: flask.Flask) -> None:
    """Each request adds a row and waits; some fail, and theirs is stored by nobody."""
    engine = create_engine("sqlite://", connect_args={"check_same_thread": False}, poolclass=StaticPool)
    lock = threading.Lock()  # one connection for all: SQLite in memory
    with engine.begin() as connection:
        connection.execute(text("create table row (name text)"))
    session = scoped_session(sessionmaker(engine))

    @app.teardown_appcontext
    def remove(error: BaseException | None) -> None:
        with lock:
            session.remove()

    @app.get("/<name>")
    async def view(name: str) -> str:
        session.info["name"] = name
        await asyncio.sleep(0.01)
        if name.startswith("bad"):
            flask.abort(500)
        with lock:
            session.execute(text("insert into row values (:name)"), session.info)
            session.commit()
        return "stored"

    bridge = FlaskToAsgi(app)
    names = [f"{'bad' if number % 3 == 0 else 'good'}{number}" for number in range(60)]
    clients = await asyncio.gather(*(fetch(bridge, target=f"/{name}".encode()) for name in names))
    assert [client.status for client in clients] == [500, 200, 200] * 20
    with engine.connect() as connection:
        stored: list[str] = list(connection.execute(text("select name from row")).scalars())
    assert sorted(stored) == sorted(name for name in names if name.startswith("good"))
    engine.dispose()


@since("3.1.2", "Flask tears down as the view returns, and behind its stream, since 3.1.2")
async def test_a_stream_finds_them_again_on_another_thread(app: flask.Flask) -> None:
    """It gives its thread back as it begins, and may get another one for the teardown behind it."""
    values = threading.local()
    threads: dict[str, list[int]] = {"/": [], "/other": []}
    other_is_here, other_may_end = threading.Event(), threading.Event()

    @app.before_request
    def keep() -> None:
        values.path = flask.request.path
        threads[values.path].append(threading.get_ident())
        if values.path == "/other":
            other_is_here.set()
            other_may_end.wait(10)

    @app.teardown_request
    def tear_down(error: BaseException | None) -> None:
        threads[values.path].append(threading.get_ident())
        assert values.path == flask.request.path

    @app.get("/other")
    async def other() -> str:
        return ""

    @app.get("/")
    async def view() -> AsyncIterator[str]:
        yield "a"
        await asyncio.to_thread(other_is_here.wait, 10)
        yield "b"

    bridge = FlaskToAsgi(app)
    stream = begin(bridge)
    await stream.client.until(lambda client: client.body == b"a")
    await eventually(lambda: bridge.request_threads.busy == 0)  # or the other one gets another thread
    request = begin(bridge, target=b"/other")
    assert (await stream.end()).body == b"ab"
    assert len(set(threads["/"])) == 2
    other_may_end.set()
    await request.end()


@pytest.mark.parametrize("kind", ["async", "decorated"])
async def test_tasks_that_outlive_their_requests_are_apart(app: flask.Flask, kind: str) -> None:
    """Their sync code runs on one thread for all of them."""
    values = threading.local()
    ended = asyncio.Event()
    seen: dict[str, list[Any]] = {}
    threads: set[int] = set()

    def work(name: str) -> None:
        threads.add(threading.get_ident())
        seen.setdefault(name, []).append(getattr(values, "name", None))
        values.name = name

    async def task(name: str) -> None:
        await ended.wait()
        for _ in range(3):
            await sync_to_async(work)(name)

    tasks: list[asyncio.Task[None]] = []

    async def view(name: str) -> str:
        tasks.append(asyncio.create_task(task(name)))
        return "started"

    app.add_url_rule("/<name>", view_func=view if kind != "decorated" else ensured(view))
    bridge = FlaskToAsgi(app)
    names = [str(number) for number in range(10)]
    await asyncio.gather(*(fetch(bridge, path=f"/{name}") for name in names))
    ended.set()
    await asyncio.gather(*tasks)
    assert seen == {name: [None, name, name] for name in names}
    assert len(threads) == 1
