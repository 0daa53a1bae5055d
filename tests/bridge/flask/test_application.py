# SPDX-License-Identifier: MIT
"""Flask applications through the bridge: where coroutines run, and in what context."""

import asyncio
import functools
import io
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar, Token
from typing import Any

import flask
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from blinker import Namespace
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch, http_scope
from tests.support.waiting import PATIENCE, eventually, on_a_thread

mark = ContextVar("mark", default="none")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def on_loop(view: Callable[..., Any]) -> Callable[..., Any]:
    return view


def on_thread(view: Callable[..., Any]) -> Callable[..., Any]:
    """What extensions do: a sync function around the view, which so runs on a thread."""

    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(view)(*args, **kwargs)

    return wrapper


@pytest.fixture(params=[on_loop, on_thread])
def placed(request: pytest.FixtureRequest) -> Decorator:
    """A decorator that makes an async view run on the loop, or be reached from a thread."""
    decorator: Decorator = request.param
    return decorator


@pytest.fixture
def app() -> flask.Flask:
    return flask.Flask(__name__, static_folder=None)


async def whereabouts() -> dict[str, Any]:
    """Tell of the loop and the thread, and of the thread that sync_to_async leads to."""
    return {
        "loop": asyncio.get_running_loop(),
        "thread": threading.get_ident(),
        "sync": await sync_to_async(threading.get_ident)(),
    }


@pytest.mark.parametrize("thing", [None, 5, "app", flask.Flask, lambda environ, start_response: []])
def test_only_a_flask_object_will_do(thing: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a flask\.Flask object, got"):
        FlaskToAsgi(thing)


# -- one loop


async def test_every_coroutine_runs_on_the_loop_of_the_server(app: flask.Flask, placed: Decorator) -> None:
    seen: list[str] = []
    loop = asyncio.get_running_loop()

    def note(name: str) -> Callable[..., Any]:
        async def function(argument: Any = None) -> Any:
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            seen.append(name)
            return argument if name == "after" else None

        return function

    app.before_request(note("before"))
    app.after_request(note("after"))
    app.teardown_request(note("teardown request"))
    app.teardown_appcontext(note("teardown app"))

    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> str:
        await note("handler")()
        return "handled"

    @app.get("/<int:number>")
    @placed
    async def view(number: int) -> str:
        await note("view")()
        if number:
            raise LookupError
        return "fine"

    bridge = FlaskToAsgi(app)
    for number, handled in enumerate([[], ["handler"]]):
        client = await fetch(bridge, target=b"/%d" % number)
        assert client.body == (b"handled" if handled else b"fine")
        assert seen == ["before", "view", *handled, "after", "teardown request", "teardown app"]
        seen.clear()


class AsyncView(View):
    async def dispatch_request(self) -> Any:  # type: ignore[override]  # as Flask's documentation has it
        return {"loop": id(asyncio.get_running_loop())}


class AsyncMethods(MethodView):
    async def get(self) -> Any:
        return {"loop": id(asyncio.get_running_loop())}

    def post(self) -> Any:
        return {"loop": 0}


async def coroutine_view() -> Any:
    return {"loop": id(asyncio.get_running_loop())}


def forgetful(view: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(view)
    def wrapper() -> Any:
        return view()

    return wrapper


def through_asgiref() -> Any:
    return async_to_sync(coroutine_view)()


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(coroutine_view, id="coroutine function"),
        pytest.param(on_thread(coroutine_view), id="decorated"),
        pytest.param(forgetful(coroutine_view), id="decorated without ensure_sync"),
        pytest.param(AsyncView.as_view("view"), id="View"),
        pytest.param(AsyncMethods.as_view("view"), id="MethodView"),
        pytest.param(through_asgiref, id="asgiref's async_to_sync"),
    ],
)
async def test_a_view_that_only_looks_sync_reaches_the_same_loop(app: flask.Flask, view: Any) -> None:
    app.add_url_rule("/", "view", view)
    bridge = FlaskToAsgi(app)
    for _ in range(2):
        client = await fetch(bridge)
        assert json.loads(client.body) == {"loop": id(asyncio.get_running_loop())}


async def test_a_sync_method_beside_async_ones(app: flask.Flask) -> None:
    app.add_url_rule("/", view_func=AsyncMethods.as_view("view"))
    assert json.loads((await fetch(FlaskToAsgi(app), "POST")).body) == {"loop": 0}


async def test_signal_receivers_that_are_coroutines(app: flask.Flask, placed: Decorator) -> None:
    loops: list[Any] = []
    signal = Namespace().signal("test")

    async def receiver(sender: Any) -> None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    async def finished(sender: Any, response: Any) -> None:
        loops.append(asyncio.get_running_loop())

    signal.connect(receiver)
    flask.request_finished.connect(finished, app)

    @app.get("/")
    def view() -> str:
        signal.send("sender", _async_wrapper=app.ensure_sync)
        return ""

    await fetch(FlaskToAsgi(app))
    assert loops == [asyncio.get_running_loop()] * 2


async def test_a_thread_of_the_applications_own_reaches_the_same_loop(app: flask.Flask) -> None:
    found: list[dict[str, Any]] = []

    async def work() -> None:
        found.append({"mark": mark.get(), **await whereabouts()})
        mark.set("work")

    def run() -> None:
        mark.set("thread")
        app.ensure_sync(work)()
        app.async_to_sync(work)()
        async_to_sync(work)()
        found.append({"ident": threading.get_ident()})

    @app.get("/")
    def view() -> str:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(PATIENCE)
        return ""

    await fetch(FlaskToAsgi(app))
    *works, thread = found
    assert len(works) == 3
    for work_found in works[:2]:
        assert work_found["loop"] is asyncio.get_running_loop()
        assert work_found["sync"] == thread["ident"]
        assert work_found["mark"] == "thread"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_a_coroutine_of_such_a_thread_does_not_stop_the_loop(
    app: flask.Flask, error: type[BaseException]
) -> None:
    @app.get("/")
    def view() -> str:
        return ""

    async def work() -> None:
        raise error("oops")

    await fetch(FlaskToAsgi(app))
    with pytest.raises(error, match="oops"):
        await on_a_thread(app.async_to_sync(work))


# -- one context


async def test_a_token_made_in_a_hook_is_reset_in_the_view_and_the_reverse(
    app: flask.Flask, placed: Decorator
) -> None:
    tokens: list[Token[str]] = []
    seen: list[str] = []

    @app.before_request
    def before() -> None:
        tokens.append(mark.set("before"))

    @app.before_request
    async def async_before() -> None:
        seen.append(mark.get())
        mark.reset(tokens.pop())
        tokens.append(mark.set("async before"))

    @app.get("/")
    @placed
    async def view() -> str:
        seen.append(mark.get())
        mark.reset(tokens.pop())
        seen.append(mark.get())
        tokens.append(mark.set("view"))
        flask.g.value = 5
        return ""

    @app.teardown_request
    def teardown(error: Any) -> None:
        seen.append(mark.get())
        mark.reset(tokens.pop())
        seen.append(f"{mark.get()} {flask.g.value}")

    bridge = FlaskToAsgi(app)
    for _ in range(2):
        client = await fetch(bridge)
        assert client.status == 200
        assert seen == ["before", "async before", "none", "view", "none 5"]
        seen.clear()
    assert mark.get() == "none"


async def test_sync_parts_of_a_request_share_a_thread(app: flask.Flask, placed: Decorator) -> None:
    threads: list[int] = []

    def note(argument: Any = None) -> Any:
        threads.append(threading.get_ident())
        return argument

    app.before_request(note)
    app.after_request(note)
    app.teardown_request(note)
    app.teardown_appcontext(note)

    @app.get("/")
    @placed
    async def view() -> Any:
        await sync_to_async(note)()
        await asyncio.gather(*[sync_to_async(note)() for _ in range(3)])
        await sync_to_async(nested)()
        return ""

    def nested() -> None:
        note()
        app.async_to_sync(deeper)()

    async def deeper() -> None:
        assert asyncio.get_running_loop() is loop
        await sync_to_async(note)()

    loop = asyncio.get_running_loop()
    client = await fetch(FlaskToAsgi(app))
    assert client.status == 200
    assert len(threads) == 10
    assert set(threads) == {threads[0]}
    assert threads[0] != threading.get_ident()


async def test_an_async_error_handler_is_told_what_it_handles(app: flask.Flask, placed: Decorator) -> None:
    @app.errorhandler(LookupError)
    async def handle(error: LookupError) -> str:
        await asyncio.sleep(0)
        assert sys.exc_info()[1] is error
        return "handled"

    @app.get("/")
    @placed
    async def view() -> str:
        raise LookupError

    assert (await fetch(FlaskToAsgi(app))).body == b"handled"


async def test_a_task_that_a_view_leaves_behind_goes_on(app: flask.Flask, placed: Decorator) -> None:
    tasks: list[asyncio.Task[Any]] = []
    go_on = asyncio.Event()

    async def background() -> Any:
        await go_on.wait()
        return await sync_to_async(lambda: (flask.has_app_context(), mark.get()))()

    @app.get("/")
    @placed
    async def view() -> str:
        mark.set("view")
        tasks.append(asyncio.create_task(background()))
        return ""

    await fetch(FlaskToAsgi(app))
    go_on.set()
    assert (await asyncio.wait_for(tasks[0], PATIENCE))[1] == "view"


async def test_requests_do_not_see_each_other(app: flask.Flask, placed: Decorator) -> None:
    arrived = 0
    together = asyncio.Event()

    @app.get("/<name>")
    @placed
    async def view(name: str) -> str:
        nonlocal arrived
        before = mark.get()
        mark.set(name)
        flask.g.name = name
        arrived += 1
        if arrived == 20:
            together.set()
        await together.wait()
        return f"{before} {mark.get()} {flask.g.name} {flask.request.path}"

    bridge = FlaskToAsgi(app)
    clients = await asyncio.gather(*[fetch(bridge, target=b"/%d" % number) for number in range(20)])
    assert [client.body.decode() for client in clients] == [f"none {n} {n} /{n}" for n in range(20)]


# -- outside a request


async def whose_loop() -> int:
    return id(asyncio.get_running_loop())


def test_outside_a_request_flask_is_as_before(app: flask.Flask) -> None:
    app.add_url_rule("/", "view", coroutine_view)
    FlaskToAsgi(app)
    for _ in range(2):
        assert app.test_client().get("/").get_json()["loop"]
    with app.app_context():
        assert app.ensure_sync(whose_loop)()
        assert app.ensure_sync(len)("abc") == 3
        assert app.make_response(("text", 201)).status_code == 201


async def test_after_the_loop_has_ended_flask_is_as_before(app: flask.Flask) -> None:
    app.add_url_rule("/", "view", coroutine_view)
    bridge = FlaskToAsgi(app)

    def serve_and_end() -> None:
        asyncio.run(fetch(bridge))

    await on_a_thread(serve_and_end)
    response = await on_a_thread(lambda: app.test_client().get("/"))
    assert response.get_json()["loop"]
    assert json.loads((await fetch(bridge)).body)["loop"] == id(asyncio.get_running_loop())


async def test_on_a_running_loop_flask_refuses_as_before(app: flask.Flask) -> None:
    bridge = FlaskToAsgi(app)
    app.add_url_rule("/", "view", coroutine_view)
    await fetch(bridge)
    other = asyncio.new_event_loop()

    def run() -> None:
        async def refused() -> None:
            with pytest.raises(RuntimeError, match="You cannot use AsyncToSync in the same thread"):
                app.async_to_sync(whose_loop)()

        other.run_until_complete(refused())
        other.close()

    await on_a_thread(run)


async def test_a_test_client_inside_a_view(app: flask.Flask, placed: Decorator) -> None:
    app.add_url_rule("/inner", "inner", coroutine_view)

    @app.get("/")
    def view() -> Any:
        return app.test_client().get("/inner").get_json()

    client = await fetch(FlaskToAsgi(app))
    assert json.loads(client.body) == {"loop": id(asyncio.get_running_loop())}


async def test_an_application_may_be_wrapped_twice(app: flask.Flask, placed: Decorator) -> None:
    app.add_url_rule("/", "view", placed(coroutine_view))
    bridges = [FlaskToAsgi(app), FlaskToAsgi(app, threads=1)]
    for bridge in bridges * 2:
        assert json.loads((await fetch(bridge)).body) == {"loop": id(asyncio.get_running_loop())}
    assert app.test_client()


async def test_what_a_subclass_overrides_is_left_alone(placed: Decorator) -> None:
    calls: list[str] = []

    class Own(flask.Flask):
        def async_to_sync(self, func: Any) -> Any:
            calls.append("async_to_sync")
            return super().async_to_sync(func)

        def ensure_sync(self, func: Any) -> Any:
            calls.append("ensure_sync")
            return super().ensure_sync(func)

    app = Own(__name__)
    app.add_url_rule("/", "view", placed(coroutine_view))
    assert json.loads((await fetch(FlaskToAsgi(app))).body) == {"loop": id(asyncio.get_running_loop())}
    assert "async_to_sync" in calls
    assert "ensure_sync" in calls


# -- the body before a coroutine


def form(boundary: bytes = b"x") -> tuple[bytes, bytes]:
    parts = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
    body = parts % (b"a", b"", b"1") + parts % (b"f", b'; filename="n"', b"file" * 50_000) + b"--x--\r\n"
    return body, b"multipart/form-data; boundary=x"


async def read_json() -> Any:
    return flask.request.get_json()


async def read_data() -> Any:
    return {"size": len(flask.request.get_data())}


async def read_form() -> Any:
    return {"a": flask.request.form["a"], "size": len(flask.request.files["f"].read())}


async def read_stream() -> Any:
    lines = [flask.request.stream.readline() for _ in range(3)]
    return {"size": len(b"".join(lines) + flask.request.stream.read())}


async def read_nothing() -> Any:
    return {}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("view", "body", "content_type", "expected"),
    [
        (read_json, b'{"a": [1, 2]}', b"application/json", {"a": [1, 2]}),
        (read_data, bytes(3_000_000), b"application/octet-stream", {"size": 3_000_000}),
        (read_form, *form(), {"a": "1", "size": 200_000}),
        (read_stream, b"a\n" * 50_000, b"text/plain", {"size": 100_000}),
        (read_nothing, bytes(100_000), b"text/plain", {}),
    ],
)
async def test_an_async_view_reads_the_body_as_any_view(
    app: flask.Flask,
    placed: Decorator,
    view: Any,
    body: bytes,
    content_type: bytes,
    expected: Any,
    *,
    chunked: bool,
) -> None:
    app.add_url_rule("/", "view", placed(view), methods=["POST"])
    chunks = [body[start : start + 60_000] for start in range(0, len(body), 60_000)] if chunked else [body]
    chunks += [b""] if chunked else []
    client = await fetch(FlaskToAsgi(app), "POST", b"/", *chunks, headers=[(b"content-type", content_type)])
    assert client.status == 200
    assert json.loads(client.body) == expected


@pytest.mark.parametrize("chunks", [[bytes(101)], [bytes(60), bytes(41)], [bytes(1000)] * 50])
@pytest.mark.parametrize("view", [read_data, read_stream])
async def test_max_content_length_holds(
    app: flask.Flask, placed: Decorator, view: Any, chunks: list[bytes]
) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 100
    app.add_url_rule("/", "view", placed(view), methods=["POST"])
    bridge = FlaskToAsgi(app)
    assert (await fetch(bridge, "POST", b"/", *chunks)).status == 413
    for fitting in ([bytes(99)], [bytes(60), bytes(39)], [bytes(1)]):
        assert (await fetch(bridge, "POST", b"/", *fitting)).status == 200


@pytest.mark.parametrize("headers", [[(b"content-length", b"9")], [(b"transfer-encoding", b"chunked")]])
async def test_a_truncated_body_is_told_to_an_async_view(
    app: flask.Flask, placed: Decorator, headers: list[tuple[bytes, bytes]]
) -> None:
    read: list[int] = []
    errors: list[str] = []

    async def view() -> Any:
        read.append(len(flask.request.get_data()))
        return ""

    @app.errorhandler(400)
    def handle(error: Any) -> Any:
        errors.append(type(error).__name__)
        return error

    app.add_url_rule("/", "view", placed(view), methods=["POST"])
    client = Client(b"ab", more=True)
    client.leave()
    await FlaskToAsgi(app)(http_scope("POST", headers=headers), client.receive, client.send)
    assert read == []
    assert errors in ([], ["ClientDisconnected"])


# -- bodies of responses


async def agen() -> AsyncIterator[bytes]:
    for number in range(3):
        await asyncio.sleep(0)
        yield b"%d" % number


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (agen, 200),
        (lambda: (agen(), 201), 201),
        (lambda: (agen(), 202, {"X-A": "1"}), 202),
        (lambda: flask.Response(agen()), 200),  # type: ignore[arg-type]
        (lambda: (flask.Response(agen()), 203), 203),  # type: ignore[arg-type]
    ],
)
async def test_async_iterables_are_bodies(
    app: flask.Flask, placed: Decorator, make: Callable[[], Any], status: int
) -> None:
    @app.get("/sync")
    def sync() -> Any:
        return make()

    @app.get("/")
    @placed
    async def view() -> Any:
        return make()

    bridge = FlaskToAsgi(app)
    for target in (b"/", b"/sync"):
        client = await fetch(bridge, target=target)
        assert (client.status, client.body, client.complete) == (status, b"012", True)


async def test_send_file_is_closed(app: flask.Flask) -> None:
    file = io.BytesIO(b"x" * 100_000)

    @app.get("/")
    def view() -> Any:
        return flask.send_file(file, "text/plain")

    assert len((await fetch(FlaskToAsgi(app))).body) == 100_000
    await eventually(lambda: file.closed)


@pytest.mark.parametrize("end", ["read", "leave"])
async def test_a_stream_with_context_is_torn_down_as_by_any_server(app: flask.Flask, end: str) -> None:
    torn_down: list[str] = []

    @app.teardown_request
    def teardown(error: Any) -> None:
        torn_down.append(flask.request.path)

    @app.get("/")
    def view() -> Any:
        def items() -> Iterator[str]:
            for _ in range(1000):
                yield flask.request.path * 1000

        return flask.stream_with_context(items())

    assert app.test_client().get("/").data
    expected = torn_down.copy()
    torn_down.clear()
    client = Client()
    bridge = FlaskToAsgi(app)
    serving = asyncio.create_task(bridge(http_scope(), client.receive, client.send))
    if end == "leave":
        await client.until(lambda client: len(client.sent) > 2)
        client.leave()
    await asyncio.wait_for(serving, PATIENCE)
    assert torn_down == expected
    assert not flask.has_app_context()
    assert (await fetch(bridge)).complete


@pytest.mark.parametrize("made_before", [True, False])
async def test_a_tool_may_replace_the_class_of_applications(
    monkeypatch: pytest.MonkeyPatch, *, made_before: bool
) -> None:
    """As ``FlaskInstrumentor().instrument()`` does, after ``from flask import Flask`` or before it."""

    class Instrumented(flask.Flask):
        pass

    before = flask.Flask
    monkeypatch.setattr(flask, "Flask", Instrumented)
    app = before("shop") if made_before else flask.Flask("shop")

    @app.get("/")
    async def index() -> str:
        return threading.current_thread().name

    answer = await fetch(FlaskToAsgi(app), "GET", b"/")
    assert (answer.status, answer.body) == (200, threading.current_thread().name.encode())
