# SPDX-License-Identifier: MIT
"""Tools that wrap an application and only pass on; ``tests/upstream`` asks the real ones."""

import threading
from typing import Any

import flask
import pytest
from flask_socketio import SocketIO

from ashapp.bridge import FlaskToAsgi, nonblocking
from ashapp.bridge.loop_or_thread.hindrances import find_hindrance, tools_around
from tests.support.asgi import fetch

# As OpenTelemetry wraps an application: a function with what it wraps, and what it calls, in its closure.
TOOL = """
def wrap(wsgi_app, response_hook=None):
    def wrapped_app(environ, start_response):
        if response_hook is not None:
            response_hook()
        return wsgi_app(environ, start_response)
    return wrapped_app

def _wrapped_before_request(request_hook=None):
    def _before_request():
        if request_hook is not None:
            request_hook()
    return _before_request
"""


def tool(module: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": module}
    exec(TOOL, namespace)
    return namespace


@pytest.fixture
def app() -> flask.Flask:
    async def view(path: str = "") -> str:
        return path

    app = flask.Flask(__name__, static_folder=None)
    app.add_url_rule("/", view_func=view)
    app.add_url_rule("/<path:path>", view_func=view)
    return app


async def test_flask_socketio_keeps_what_it_serves_itself_off_the_loop(
    app: flask.Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    bridge = FlaskToAsgi(app)
    socketio = SocketIO(app, async_mode="threading")
    threads: list[threading.Thread] = []

    def handle(_environ: Any, start_response: Any) -> list[bytes]:
        threads.append(threading.current_thread())
        start_response("200 OK", [])
        return [b"polled"]

    monkeypatch.setattr(socketio.server, "handle_request", handle)
    assert (tools_around(app), find_hindrance(app)) == (["Flask-SocketIO"], None)
    assert (await fetch(bridge, target=b"/socket.iox")).body == b"socket.iox"
    assert bridge.threads.started == 0
    assert (await fetch(bridge, target=b"/socket.io/?transport=polling")).body == b"polled"
    assert threads
    assert threads != [threading.main_thread()]


@pytest.mark.parametrize(
    ("module", "hook", "is_known"),
    [
        ("opentelemetry.instrumentation.flask", None, True),
        ("opentelemetry.instrumentation.flask", nonblocking(lambda: None), True),
        ("opentelemetry.instrumentation.flask", lambda: None, False),
        ("opentelemetry_of_our_own", None, False),
    ],
)
async def test_a_tool_is_known_by_its_package_unless_it_calls_code_that_may_block(
    app: flask.Flask, module: str, hook: Any, *, is_known: bool
) -> None:
    made = tool(module)
    before = made["_wrapped_before_request"](hook)
    app.before_request(before)
    app.wsgi_app = made["wrap"](made["wrap"](app.wsgi_app), hook)  # type: ignore[method-assign]
    bridge = FlaskToAsgi(app)

    answer = await fetch(bridge)

    assert answer.status == 200
    assert (bridge.threads.started == 0) == is_known
    assert bridge.request_threads.started == 0, "its hook needs no thread of its own"
    assert (find_hindrance(app) is None) == is_known
    assert tools_around(app) == ["OpenTelemetry"] * is_known
