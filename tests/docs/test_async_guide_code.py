# SPDX-License-Identifier: MIT
"""What docs/async.md says, of its own snippets: decorators, classes, databases, tests, and the way back."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest

from ashapp import FlaskToAsgi
from ashapp.server.introspection.routes import list_routes
from tests.docs.conftest import Prices, Run
from tests.support.client import fetch
from tests.support.journal import Journal
from tests.support.page import Page
from tests.support.server import serving

DECORATORS = "Decorators that hide an async view"
CLASSES = "Class-based views"
DATABASES = "Databases"
VIEW = "Turn one view into `async def`"


def places(app: flask.Flask) -> dict[str, str]:
    """Return where the views run, by their endpoints."""
    return {route.endpoint: route.runs_on for route in list_routes(app) if route.endpoint != "static"}


# -- decorators


def add_views(app: flask.Flask, decorator: Callable[[Any], Any], journal: Journal) -> None:
    async def wait() -> str:
        await asyncio.sleep(0)
        journal.note("async")
        return "waited"

    def index() -> str:
        journal.note("sync")
        return "index"

    app.add_url_rule("/wait", view_func=decorator(wait))
    app.add_url_rule("/index", view_func=decorator(index))


@pytest.mark.parametrize(
    ("name", "replaced", "place"),
    [
        ("counted", {}, "thread"),
        ("counted", {"flask.current_app.ensure_sync(view)(": "view("}, "thread"),
        ("counted_on_the_loop", {}, "loop"),
    ],
)
def test_decorators(run: Run, name: str, replaced: dict[str, str], place: str) -> None:
    shop, journal = run(DECORATORS, replaced), Journal()
    add_views(shop.app, getattr(shop, name), journal)
    assert places(shop.app) == {"wait": place, "index": "thread"}
    with serving(FlaskToAsgi(shop.app)) as address:
        assert fetch(address, "/wait").body == b"waited"
        assert fetch(address, "/index").body == b"index"
    assert journal["async"].on_loop
    assert not journal["sync"].on_loop


# -- classes, and what else keeps a view on a thread


def test_class_based_views(run: Run) -> None:
    shop = run(CLASSES)
    assert places(shop.app) == {"item": "thread", "item_on_the_loop": "loop"}
    with serving(FlaskToAsgi(shop.app)) as address:
        assert fetch(address, "/items/3").body == b'{"number":3}\n'
        assert fetch(address, "/loop/items/3").body == b'{"number":3}\n'


def test_what_is_marked_keeps_no_view_off_the_loop(run: Run) -> None:
    shop = run("What keeps a view on a thread")

    @shop.app.get("/view")
    async def view() -> str:
        flask.session.update(name="me", draft="text")
        return f"{flask.request.environ['shop.started'] > 0} {asyncio.get_running_loop().is_running()}"

    @shop.app.get("/session")
    async def session() -> dict[str, Any]:
        return dict(flask.session)

    shop.app.secret_key = "not a secret"
    assert set(places(shop.app).values()) == {"loop"}
    with (
        serving(FlaskToAsgi(shop.app)) as (host, port),
        httpx.Client(base_url=f"http://{host}:{port}") as client,
    ):
        assert client.get("/articles/GreenTea").text == "/articles/greentea"
        assert client.get("/view").text == "True True"
        assert client.get("/session").json() == {"name": "me"}


# -- databases


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE supplier (name TEXT)")
        connection.execute("INSERT INTO supplier VALUES ('tea'), ('coffee')")
    connection.close()
    return path


def test_an_engine_for_the_loop(run: Run, database: Path) -> None:
    shop = run(DATABASES, list_customers=None)
    shop.app.config["DATABASE"] = f"sqlite+aiosqlite:///{database}"
    with serving(FlaskToAsgi(shop.app)) as address:
        for _ in range(2):
            assert fetch(address, "/suppliers").body == b'["coffee","tea"]\n'


# -- tests


async def test_the_test_of_the_page_passes(run: Run, guide: Page, prices: Prices) -> None:
    shop = run(VIEW)
    shop.app.config["PRICES"] = prices.url
    exec(guide.python("Tests"), shop.__dict__)
    await shop.test_price()


# -- the way back


def test_flask_alone_serves_the_async_views(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    shop, journal = run(CLASSES), Journal()
    app, tasks = shop.app, []

    async def task() -> None:
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            journal.note("cancelled")
            raise

    @app.get("/task")
    async def make_task() -> str:
        journal.note("loop", asyncio.get_running_loop())
        tasks.append(asyncio.create_task(task()))
        return ""

    @app.get("/stream")
    async def stream() -> AsyncIterator[str]:
        yield "item"

    client = app.test_client()
    assert client.get("/items/3").json == client.get("/loop/items/3").json == {"number": 3}
    assert client.get("/task").status_code == 200
    assert journal.names == ["loop", "cancelled"]
    assert journal["loop"].value.is_closed()
    assert client.get("/stream").status_code == 500
    assert "it was a async_generator" in caplog.text
