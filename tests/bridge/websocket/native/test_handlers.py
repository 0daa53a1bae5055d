# SPDX-License-Identifier: MIT
"""Handlers of ``ashapp.websocket``, over real sockets: what Flask does around them."""

import asyncio
import logging
from contextlib import ExitStack
from functools import partial
from typing import Any

import flask
import pytest
from websockets.exceptions import InvalidStatus

from ashapp import BlockingWebSocket, WebSocket, on_thread, websocket
from tests.bridge.websocket.conftest import Open
from tests.support.applications.decorators import ensured, forgetful
from tests.support.journal import Journal
from tests.support.waiting import until

KINDS = ["async", "sync", "kept", "decorated", "kept decorated", "bare", "behind a middleware"]


def add_echo(app: flask.Flask, kind: str) -> None:
    """Add a handler that sends back what it receives, with the argument of its URL."""

    async def echo(ws: WebSocket, room: int) -> None:
        async for message in ws:
            await ws.send(message)
            await ws.send_json([room, flask.request.path])

    def blocking_echo(ws: BlockingWebSocket, room: int) -> None:
        for message in ws:
            ws.send(message)
            ws.send_json([room, flask.request.path])

    handlers: dict[str, Any] = {
        "sync": blocking_echo,
        "decorated": ensured(echo),
        "bare": forgetful(echo),
    }
    if "kept" in kind:
        on_thread(echo)
    websocket(app, "/echo/<int:room>", endpoint="echo")(handlers.get(kind.removeprefix("kept "), echo))
    if kind == "behind a middleware":
        app.wsgi_app = partial(app.wsgi_app)  # type: ignore[method-assign]


@pytest.mark.parametrize("kind", KINDS)
def test_messages_go_both_ways(app: flask.Flask, open_websocket: Open, kind: str) -> None:
    add_echo(app, kind)
    with open_websocket("/echo/3") as client:
        for message in ("ä", b"\x00\xff", "", b"", "x" * 100_000):
            client.send(message)
            assert client.recv(5) == message
            assert client.recv(5) == '[3, "/echo/3"]'


def test_routing_is_flasks(app: flask.Flask, open_websocket: Open) -> None:
    """Nested blueprints with prefixes and URL defaults, converters, ``url_for``."""
    outer, inner = flask.Blueprint("outer", __name__), flask.Blueprint("inner", __name__)

    @inner.url_defaults
    def add_language(_endpoint: str, values: dict[str, Any]) -> None:
        values.setdefault("language", "en")

    @websocket(inner, "/latest", defaults={"price": 0.5})
    @websocket(inner, "/<language>/<float:price>", strict_slashes=False)
    async def quote(ws: WebSocket, **arguments: Any) -> None:
        url = flask.url_for(".quote", price=2.5, _external=True, _scheme="wss")
        await ws.send_json([arguments, flask.request.endpoint, url, flask.request.blueprints])

    outer.register_blueprint(inner, url_prefix="/inner")
    app.register_blueprint(outer, url_prefix="/outer")
    with open_websocket("/outer/inner/de/1.5/") as client:
        arguments, endpoint, url, blueprints = flask.json.loads(client.recv(5))
    with open_websocket("/outer/inner/latest") as client:
        assert flask.json.loads(client.recv(5))[0] == {"price": 0.5}
    assert arguments == {"language": "de", "price": 1.5}
    assert (endpoint, blueprints) == ("outer.inner.quote", ["outer.inner", "outer"])
    assert url.startswith("wss://127.0.0.1:")
    assert url.endswith("/outer/inner/en/2.5")


def add_denials(app: flask.Flask) -> None:
    """Add a hook and handlers that deny the handshake."""

    @app.before_request
    def check() -> Any:
        return ("by a hook", 403) if "hook" in flask.request.args else None

    @app.errorhandler(LookupError)
    def handle(_error: LookupError) -> tuple[str, int]:
        return "handled", 503

    app.add_url_rule("/http/plain", view_func=lambda: "plain")

    @websocket(app, "/sync")
    def blocking(_ws: BlockingWebSocket) -> tuple[str, int]:
        return "pay", 402

    @websocket(app, "/<what>")
    async def deny(ws: WebSocket, what: str) -> tuple[str, int] | None:
        match what:
            case "denied":
                return "not you", 401
            case "aborted":
                flask.abort(418)
            case "closed":
                await ws.close()
            case "broken":
                raise ValueError
            case "handled":
                raise LookupError
        return None


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/none/", 404, b"Not Found"),
        ("/http/plain", 400, b"Bad Request"),
        ("/denied", 401, b"not you"),
        ("/aborted", 418, b"teapot"),
        ("/sync", 402, b"pay"),
        ("/silent", 403, b""),
        ("/closed", 403, b""),
        ("/denied?hook", 403, b"by a hook"),
        ("/broken", 500, b"Internal Server Error"),
        ("/handled", 503, b"handled"),
    ],
)
def test_a_response_denies(
    app: flask.Flask,
    open_websocket: Open,
    caplog: pytest.LogCaptureFixture,
    path: str,
    status: int,
    body: bytes,
) -> None:
    add_denials(app)
    with pytest.raises(InvalidStatus) as raised:
        open_websocket(path)
    response = raised.value.response
    assert response.status_code == status
    assert body in (response.body or b"")
    errors = [record.name for record in caplog.records if record.levelno >= logging.ERROR]
    assert errors == ([app.logger.name] if path == "/broken" else [])


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_the_context_is_there_for_the_life_of_the_socket(
    app: flask.Flask, open_websocket: Open, journal: Journal, kind: str
) -> None:
    """Hooks run before the handshake is answered, and teardown once, when the handler has ended."""

    @app.before_request
    def begin() -> None:
        flask.g.user = flask.session.get("user", "nobody")
        journal.note("begin")

    @app.after_request
    def note(response: flask.Response) -> flask.Response:
        journal.note("after", response.status_code)
        return response

    app.teardown_request(lambda error: journal.note("teardown", error))
    app.teardown_appcontext(lambda error: journal.note("app teardown", error))

    @app.get("/login")
    def login() -> str:
        flask.session["user"] = "ada"
        return ""

    def describe() -> list[Any]:
        return [flask.g.user, flask.session["user"], flask.current_app.name, flask.request.args["x"]]

    if kind == "async":

        @websocket(app, "/")
        async def handler(ws: WebSocket) -> None:
            await ws.receive()
            await ws.send_json(describe())
            await ws.receive()

    else:

        @websocket(app, "/")
        def blocking_handler(ws: BlockingWebSocket) -> None:
            ws.receive()
            ws.send_json(describe())
            ws.receive()

    cookie = app.test_client().get("/login").headers["Set-Cookie"].partition(";")[0]
    journal.clear()
    with open_websocket("/?x=1", additional_headers={"Cookie": cookie}) as client:
        client.send("tell")
        assert flask.json.loads(client.recv(5)) == ["ada", "ada", app.name, "1"]
        assert journal.names == ["begin"]
    until(lambda: len(journal.names) >= 4)
    assert journal.names == ["begin", "after", "teardown", "app teardown"]
    assert journal["after"].value == 200
    assert journal["teardown"].value is None
    assert journal["begin"].thread == journal["teardown"].thread
    assert not journal["begin"].on_loop


def test_a_template_may_have_a_context_that_is_awaited(app: flask.Flask, open_websocket: Open) -> None:
    """As in an async view; each WebSocket has its own."""

    @app.context_processor
    async def add_user() -> dict[str, str]:
        user = flask.request.args["user"]
        await asyncio.sleep(0.01)
        return {"user": user}

    @websocket(app, "/async")
    async def handler(ws: WebSocket) -> None:
        async for message in ws:
            await ws.send(flask.render_template_string("{{ user }} {{ said }}", said=message))

    @websocket(app, "/sync")
    def blocking_handler(ws: BlockingWebSocket) -> None:
        for message in ws:
            ws.send(flask.render_template_string("{{ user }} {{ said }}", said=message))

    with ExitStack() as stack:
        urls = [f"/{kind}?user={user}" for kind in ("async", "sync") for user in ("ada", "eve")]
        clients = [stack.enter_context(open_websocket(url)) for url in urls]
        for said in ("1", "2"):
            for client in clients:
                client.send(said)
            assert [client.recv(5) for client in clients] == [f"ada {said}", f"eve {said}"] * 2
