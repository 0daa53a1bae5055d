# SPDX-License-Identifier: MIT
"""The clients for users' tests: the async one, and the blocking one with the same face."""

import asyncio
import contextvars
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

import flask
import httpx
import pytest

from ashapp import FlaskToAsgi, WebSocketClosed
from ashapp.testing import AsyncClient, Client, LifespanError, WebSocketDenied

Steps = Callable[["Blocking"], None]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Blocking:
    """The async client with the blocking one's face, so that a test is written once."""

    def __init__(self, runner: asyncio.Runner, target: Any) -> None:
        self._runner = runner
        self._target = target

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value) or isinstance(value, type):
            return value
        return lambda *args, **options: self._result(value(*args, **options))

    def __enter__(self) -> Self:
        return type(self)(self._runner, self._runner.run(self._target.__aenter__()))

    def __exit__(self, *error: object) -> None:
        self._runner.run(self._target.__aexit__(*error))

    def __iter__(self) -> Iterator[Any]:
        items = aiter(self._target)
        while (item := self._runner.run(_next(items))) is not None:
            yield item

    def _result(self, value: Any) -> Any:
        if isinstance(value, Awaitable):
            return self._runner.run(_awaited(value))
        return (
            Blocking(self._runner, value)
            if hasattr(value, "__aenter__") or hasattr(value, "__aiter__")
            else value
        )


async def _next(items: Any) -> Any:
    return await anext(items, None)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


@pytest.fixture(params=["async", "blocking"])
def open_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    if request.param == "blocking":
        yield Client
        return
    with asyncio.Runner() as runner:
        yield lambda *args, **options: Blocking(runner, AsyncClient(*args, **options))


def make_app() -> flask.Flask:
    app = flask.Flask(__name__)
    app.extensions["ended"] = []

    @app.post("/echo")
    def echo() -> Any:
        return {
            "body": flask.request.get_data(as_text=True),
            "url": flask.request.url,
            "seen": variable.get(),
        }

    @app.get("/login")
    def login() -> Any:
        response = flask.make_response("in")
        response.set_cookie("user", "ada")
        return response

    @app.get("/user")
    async def user() -> Any:
        return flask.request.cookies["user"]

    @app.get("/ticks")
    def ticks() -> Any:
        def endless() -> Iterator[str]:
            try:
                while True:
                    yield "tick\n"
            finally:
                app.extensions["ended"].append("ticks")

        return endless()

    @app.get("/fails")
    def fails() -> Any:
        raise KeyError("no luck")

    @app.get("/slow")
    async def slow() -> Any:
        await asyncio.sleep(30)

    return app


async def sockets(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application without Flask and without a lifespan: echoes, or denies, by the path."""
    assert scope["type"] == "websocket"
    assert (await receive())["type"] == "websocket.connect"
    headers = dict(scope["headers"])
    if scope["path"] == "/denied":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-why", b"no")]})
        await send({"type": "websocket.http.response.body", "body": b"log ", "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"in"})
        return
    if scope["path"] == "/closed":
        await send({"type": "websocket.close"})
        return
    subprotocol = next(iter(scope["subprotocols"]), None)
    sent = [(b"x-cookie", headers.get(b"cookie", b""))]
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": sent})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "bye"})
        elif message.get("text") == "raise":
            raise KeyError("socket")
        else:
            await send({**message, "type": "websocket.send"})
    scope["state"]["codes"].append(message["code"])


def test_requests_go_as_over_a_network(open_client: Any) -> None:
    app = make_app()
    token = variable.set("the test's")
    try:
        with open_client(app, base_url="https://api.test:8443/") as client:
            answer = client.post("/echo?a=%2F&b", content=b"hello")
            assert answer.json() == {
                "body": "hello",
                "url": "https://api.test:8443/echo?a=/&b",
                "seen": "unset",
            }
            assert client.get("/nowhere").status_code == 404
            client.get("/login")
            assert client.get("/user").text == "ada"
    finally:
        variable.reset(token)


def test_a_request_body_streams_up() -> None:
    with Client(make_app()) as client:
        assert client.post("/echo", content=iter([b"a", b"", b"b"])).json()["body"] == "ab"


def test_a_response_streams_and_ends_when_it_is_closed() -> None:
    app = make_app()
    with Client(app) as client, client.stream("GET", "/ticks") as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(3)] == ["tick"] * 3
        assert app.extensions["ended"] == []
    assert app.extensions["ended"] == ["ticks"]


@pytest.mark.parametrize("setting", [{"TESTING": True}, {"PROPAGATE_EXCEPTIONS": True}])
def test_an_exception_is_raised_to_the_test_or_answered(open_client: Any, setting: dict[str, bool]) -> None:
    app = make_app()
    app.config.update(setting)
    with open_client(app) as client, pytest.raises(KeyError, match="no luck"):
        client.get("/fails")
    with open_client(app, raise_app_exceptions=False) as client:
        assert client.get("/fails").status_code == 500
    app.config.update(dict.fromkeys(setting, False))
    with open_client(app) as client:
        assert client.get("/fails").status_code == 500


def test_the_time_out_of_a_request_holds(open_client: Any) -> None:
    began = time.monotonic()
    with open_client(make_app()) as client, pytest.raises(httpx.ReadTimeout):
        client.get("/slow", timeout=0.05)
    assert time.monotonic() - began < 20


def test_the_lifespan_runs_within_the_block(open_client: Any) -> None:
    events: list[str] = []
    app = FlaskToAsgi(
        make_app(), on_startup=[lambda: events.append("up")], on_shutdown=[lambda: events.append("down")]
    )
    with open_client(app) as client:
        client.get("/login")
        assert events == ["up"]
    assert events == ["up", "down"]


@pytest.mark.parametrize("event", ["on_startup", "on_shutdown"])
def test_a_lifespan_that_fails_is_told(open_client: Any, event: str) -> None:
    def fail() -> None:
        raise OSError("no database")

    def run() -> None:
        with open_client(FlaskToAsgi(make_app(), **{event: [fail]})):  # type: ignore[arg-type]
            pass

    with pytest.raises(LifespanError, match="no database"):
        run()


def with_codes(codes: list[int]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan here")
        scope["state"]["codes"] = codes
        await sockets(scope, receive, send)

    return app


def test_a_websocket_from_handshake_to_close(open_client: Any) -> None:
    codes: list[int] = []
    with open_client(with_codes(codes), cookies={"user": "ada"}) as client:
        with client.websocket("/echo", subprotocols=["v2", "v1"]) as socket:
            assert socket.subprotocol == "v2"
            assert socket.headers["x-cookie"] == "user=ada"
            socket.send("text")
            socket.send(b"bytes")
            socket.send_json({"n": 1})
            assert [socket.receive(), socket.receive(), socket.receive_json()] == ["text", b"bytes", {"n": 1}]
        with client.websocket("/echo") as socket:
            socket.close(4000, "enough")
            with pytest.raises(WebSocketClosed):
                socket.send("late")
    assert codes == [1001, 4000]


def test_a_websocket_that_the_application_closes(open_client: Any) -> None:
    with open_client(with_codes([])) as client, client.websocket("/echo") as socket:
        for text in ("one", "two", "bye"):
            socket.send(text)
        assert list(socket) == ["one", "two"]
        with pytest.raises(WebSocketClosed, match="4001 bye"):
            socket.receive()


@pytest.mark.parametrize(
    ("path", "status", "text", "why"), [("/denied", 401, "log in", "no"), ("/closed", 403, "", None)]
)
def test_a_denied_websocket(open_client: Any, path: str, status: int, text: str, why: str | None) -> None:
    with open_client(with_codes([])) as client, pytest.raises(WebSocketDenied) as denial:
        client.websocket(path).__enter__()
    response = denial.value.response
    assert (response.status_code, response.text, response.headers.get("x-why")) == (status, text, why)


def test_an_exception_of_a_websocket_is_raised_to_the_test(open_client: Any) -> None:
    def run() -> None:
        with open_client(with_codes([])) as client, client.websocket("/echo") as socket:
            socket.send("raise")
            socket.receive()

    with pytest.raises(KeyError, match="socket"):
        run()


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_application_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="expected a Flask object or an ASGI application, got 'shop:app'"):
        kind("shop:app")


def test_without_httpx_the_extra_is_named() -> None:
    code = "import sys; sys.modules['httpx'] = None; import ashapp.testing"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ashapp.testing needs httpx: pip install 'ashapp-backend[testing]'" in done.stderr


def test_a_blocking_client_runs_only_within_its_block() -> None:
    with pytest.raises(RuntimeError, match="within 'with'"):
        Client(make_app()).get("/login")


@pytest.fixture
def app() -> flask.Flask:
    return make_app()


def test_the_fixture_serves_the_app_of_the_test(ashapp_client: Client) -> None:
    assert ashapp_client.get("/login").text == "in"
