# SPDX-License-Identifier: MIT
"""Rules 12, 15 and 19: on which loop coroutines run, what async views may do, and how they end."""

import asyncio
import threading
from collections.abc import Callable

import flask
import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.decorators import ensured
from tests.support.client import Connection, fetch
from tests.support.server import Serve

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@stock_fails("the view goes on to its end", FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("go", [Connection.close, Connection.vanish], ids=["close", "reset"])
def test_an_async_view_is_cancelled_when_the_client_goes(
    serve: Serve, adapter: Adapter, go: Callable[[Connection], None]
) -> None:
    """Rule 19, and its teardown runs."""
    app = Flask(__name__)
    began, cancelled, torn_down = threading.Event(), threading.Event(), threading.Event()

    @app.get("/")
    async def view() -> str:
        began.set()
        try:
            await asyncio.sleep(10 if adapter is FlaskToAsgi else 0.5)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return "too late"

    @app.teardown_request
    async def tear_down(error: BaseException | None) -> None:
        await asyncio.sleep(0.01)
        torn_down.set()

    connection = Connection(serve(adapter(app)))
    connection.send_request("GET", "/")
    assert began.wait(5)
    go(connection)
    assert cancelled.wait(5 if adapter is FlaskToAsgi else 0.3)
    assert torn_down.wait(5)


def test_pipelined_requests_are_answered_in_order(app: flask.Flask, serve: Serve) -> None:
    @app.get("/<int:number>")
    async def view(number: int) -> str:
        await asyncio.sleep(0.001 * (5 - number))
        return str(number)

    with Connection(serve(FlaskToAsgi(app))) as connection:
        for number in range(5):
            connection.send_request("GET", f"/{number}")
        assert [connection.receive().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


@stock_passes(FlaskToAsgi, everywhere=True)
@pytest.mark.parametrize("kind", ["plain", "decorated"])
def test_a_task_outlives_its_request(serve: Serve, adapter: Adapter, kind: str) -> None:
    """Rule 12. It goes on only when the response has arrived."""
    app = Flask(__name__)
    arrived = threading.Event()
    ended = threading.Event()
    tasks = []

    async def work() -> None:
        await asyncio.to_thread(arrived.wait, 5)
        ended.set()

    async def view() -> str:
        tasks.append(asyncio.create_task(work()))
        return "started"

    app.add_url_rule("/", view_func=view if kind == "plain" else ensured(view))
    assert fetch(serve(adapter(app)), "/").body == b"started"
    arrived.set()
    assert ended.wait(5)
