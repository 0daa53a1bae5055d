# SPDX-License-Identifier: MIT
"""The bridge under the shape of Flask's development branch: contexts are merged, and passed first."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import flask
import pytest

from ashapp.bridge import FlaskToAsgi
from tests.support.applications.merged_flask import IS_MERGED, merge_contexts
from tests.support.asgi import fetch
from tests.support.flask import make_app
from tests.support.journal import Journal

pytestmark = pytest.mark.usefixtures("accelerated")


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, journal: Journal) -> flask.Flask:
    merge_contexts(monkeypatch)
    app = make_app()

    @app.before_request
    def before() -> None:
        journal.note("before")
        flask.g.name = "g"

    @app.after_request
    async def after(response: flask.Response) -> flask.Response:
        await asyncio.sleep(0)
        journal.note("after")
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("request", error)

    @app.teardown_appcontext
    async def teardown_async(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note("application", error)

    return app


ENDS = ["request", "application"]


def add_view(app: flask.Flask, view: Any, kind: str) -> None:
    """Add the coroutine function *view*, to run on the loop or to be reached from a thread."""
    on_thread = {"bare": lambda: view(), "sync": lambda: app.ensure_sync(view)()}  # noqa: PLW0108 - sync, on purpose
    app.add_url_rule("/", "view", on_thread.get(kind, view))


kinds = pytest.mark.parametrize("kind", ["async", "bare", "sync"])


@kinds
async def test_a_view(app: flask.Flask, journal: Journal, kind: str) -> None:
    async def view() -> str:
        await asyncio.sleep(0)
        flask.session["name"] = "me"
        journal.note("view")
        return f"{flask.request.path} {flask.g.name} {flask.current_app.name}"

    add_view(app, view, kind)
    bridge = FlaskToAsgi(app)
    client = await fetch(bridge)
    assert client.body == f"/ g {app.name}".encode()
    assert "session=" in client.headers["set-cookie"]
    assert journal.names == ["before", "view", "after", *ENDS]
    assert journal["view"].on_loop
    assert journal["before"].thread == journal["request"].thread
    assert bridge._dispatch.placement.of("view").on_loop == (kind == "async")


@kinds
async def test_errors(app: flask.Flask, journal: Journal, kind: str) -> None:
    @app.errorhandler(KeyError)
    async def handle(error: KeyError) -> tuple[str, int]:
        return f"no {error}", 418

    async def view() -> str:
        await asyncio.sleep(0)
        if "abort" in flask.request.args:
            flask.abort(409)
        raise {"key": KeyError("tea"), "zero": ZeroDivisionError()}[flask.request.args["raise"]]

    add_view(app, view, kind)
    bridge = FlaskToAsgi(app)
    clients = [
        await fetch(bridge, target=b"/?" + query) for query in (b"abort=1", b"raise=key", b"raise=zero")
    ]
    assert [client.status for client in clients] == [409, 418, 500]
    assert clients[1].body == b"no 'tea'"
    assert journal.names == ["before", "after", *ENDS] * 3
    assert isinstance(journal.entries[-1].value, ZeroDivisionError)


@kinds
async def test_a_stream_in_the_context(app: flask.Flask, journal: Journal, kind: str) -> None:
    async def view() -> Any:
        async def body() -> AsyncIterator[str]:
            await asyncio.sleep(0)
            yield flask.request.path
            yield flask.g.name

        stream: Any = flask.stream_with_context
        return stream(body())

    add_view(app, view, kind)
    assert (await fetch(FlaskToAsgi(app))).body == b"/g"
    assert journal.names[-2:] == ENDS


@kinds
async def test_a_copied_context(app: flask.Flask, journal: Journal, kind: str) -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        journal.note("work")
        return flask.request.path

    async def view() -> str:
        flask.session["name"] = "me"
        result: str = await asyncio.create_task(flask.copy_current_request_context(work)())
        return result

    add_view(app, view, kind)
    assert (await fetch(FlaskToAsgi(app))).body == b"/"
    assert journal.names == ["before", "work", *ENDS, "after", *ENDS]


LEGACY = """
import asyncio, warnings
import flask
from ashapp import FlaskToAsgi
from tests.support.asgi import fetch

warnings.simplefilter("ignore", DeprecationWarning)

class Legacy(flask.Flask):
    def full_dispatch_request(self):
        return super().full_dispatch_request()

    def handle_exception(self, error):
        return super().handle_exception(error)

app = flask.Flask("app")

@app.get("/")
async def view():
    return app.test_client().get("/inner").text

@app.get("/inner")
async def inner():
    return "inner"

print(asyncio.run(fetch(FlaskToAsgi(app))).body)
"""


@pytest.mark.skipif(not IS_MERGED, reason="Flask wraps methods of its own since 3.2")
def test_a_subclass_of_old_in_the_process_changes_nothing_for_other_applications() -> None:
    """In a process of its own: Flask wraps its methods for good."""
    command = [sys.executable, "-c", LEGACY]
    assert subprocess.run(command, capture_output=True, timeout=60, check=True).stdout == b"b'inner'\n"
