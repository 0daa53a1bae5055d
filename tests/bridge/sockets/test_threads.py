# SPDX-License-Identifier: MIT
"""Rule 11: on which threads the sync code of requests runs."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from flask import Flask, Response, g, request, stream_with_context

from ashapp.bridge import FlaskToAsgi
from tests.support.adapters import Adapter, stock_fails
from tests.support.client import fetch_all, hammer
from tests.support.server import Serve

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@stock_fails("it has one thread for all requests", FlaskToAsgi, everywhere=True)
def test_sync_views_run_at_the_same_time(serve: Serve, adapter: Adapter) -> None:
    """Rule 11: eight views that meet each other. One after the other they would never."""
    app = Flask(__name__)
    meeting = threading.Barrier(8)

    @app.get("/")
    def view() -> str:
        meeting.wait(5 if adapter is FlaskToAsgi else 0.2)
        return "met"

    assert asyncio.run(hammer(serve(adapter(app)), 8, 1, GET)) == {200: 8}


def noting(threads: dict[str, list[int]]) -> Flask:
    """Return an application that notes the thread of each sync part of a request, by the request's path."""
    app = Flask(__name__)

    def note() -> None:
        threads[g.path].append(threading.get_ident())

    @app.before_request
    def begin() -> None:
        g.path = request.path
        threads[g.path] = []
        note()

    def tear_down(error: BaseException | None) -> None:
        note()

    def generate() -> Iterator[str]:
        try:
            for number in range(3):
                note()
                time.sleep(0.001)
                yield str(number)
        finally:
            note()

    @app.after_request
    def after(response: Response) -> Response:
        note()
        return response

    @app.errorhandler(ZeroDivisionError)
    def handle(error: Exception) -> Response:
        note()
        idents = threads[g.path]
        response = Response(stream_with_context(generate()))
        response.call_on_close(lambda: idents.append(threading.get_ident()))
        return response

    @app.get("/sync/<int:number>")
    def view(number: int) -> str:
        note()
        raise ZeroDivisionError

    @app.get("/async/<int:number>")
    async def async_view(number: int) -> str:
        await asyncio.sleep(0.001)
        raise ZeroDivisionError

    app.teardown_request(tear_down)
    app.teardown_appcontext(tear_down)
    return app


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_all_sync_parts_of_a_request_run_on_one_thread(serve: Serve, kind: str) -> None:
    """Rules 11 and 14, among many requests. Stock asgiref has only one thread, but it never closes."""
    threads: dict[str, list[int]] = {}
    address = serve(FlaskToAsgi(noting(threads), threads=4))
    for response in fetch_all(address, [f"/{kind}/{number}" for number in range(40)]):
        assert (response.status, response.body) == (200, b"012")
    assert len(threads) == 40
    assert min(len(idents) for idents in threads.values()) >= 10
    assert {len(set(idents)) for idents in threads.values()} == {1}
    used = {ident for idents in threads.values() for ident in idents}
    assert 2 <= len(used) <= (4 if kind == "sync" else 40)  # those of the async view wait, each with its own
