# SPDX-License-Identifier: MIT
"""What async views, hooks and teardowns raise, and what becomes of it."""

import asyncio
from collections.abc import Callable, Generator, Iterator
from typing import Any

import flask
import pytest
from flask.signals import got_request_exception

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch
from tests.support.flask import begin
from tests.support.journal import Journal

# Not errors to Flask, which passes them on to the server; and a server must not take them for its own.
NOT_FOR_FLASK = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException]


@pytest.fixture
def exceptions(app: flask.Flask) -> Iterator[list[BaseException]]:
    """What ``got_request_exception`` told of."""
    seen: list[BaseException] = []

    def receive(sender: flask.Flask, exception: BaseException) -> None:
        seen.append(exception)

    with got_request_exception.connected_to(receive, app):
        yield seen


def raising(error: type[BaseException], kind: str) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        raise error("reason")

    async def coroutine(*args: Any) -> Any:
        await asyncio.sleep(0)
        raise error("reason")

    return coroutine if kind == "async" else function


@pytest.mark.parametrize("error", [ZeroDivisionError, StopAsyncIteration, TimeoutError, ExceptionGroup])
async def test_an_error_of_the_view(
    app: flask.Flask, journal: Journal, exceptions: list[BaseException], error: type[Exception]
) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", error)

    @app.get("/")
    async def view() -> str:
        await asyncio.sleep(0)
        raise error("reason", [LookupError()]) if error is ExceptionGroup else error("reason")

    client = await fetch(FlaskToAsgi(app))
    assert (client.status, client.complete) == (500, True)
    assert [type(exception) for exception in exceptions] == [error]
    assert journal["teardown"].value is exceptions[0]


async def test_stop_iteration_is_what_python_makes_of_it(
    app: flask.Flask, exceptions: list[BaseException]
) -> None:
    app.add_url_rule("/", "view", raising(StopIteration, "async"))
    assert (await fetch(FlaskToAsgi(app))).status == 500
    assert isinstance(exceptions[0].__cause__, StopIteration)


@pytest.mark.parametrize("error", NOT_FOR_FLASK)
@pytest.mark.parametrize("where", ["async view", "async hook", "sync hook"])
async def test_what_is_no_error_to_flask(
    app: flask.Flask,
    journal: Journal,
    exceptions: list[BaseException],
    where: str,
    error: type[BaseException],
) -> None:
    @app.teardown_request
    async def teardown(error: BaseException | None) -> None:
        await asyncio.sleep(0)
        journal.note("teardown", error)

    if where == "async view":
        app.add_url_rule("/", "view", raising(error, "async"))
    else:
        app.before_request(raising(error, where.removesuffix(" hook")))

        @app.get("/")
        async def view() -> str:
            return "never"

    request = begin(FlaskToAsgi(app))
    with pytest.raises(RuntimeError, match=error.__name__) as raised:
        await request.end()
    assert isinstance(raised.value.__cause__, error)
    assert request.client.sent == []
    assert isinstance(journal["teardown"].value, error)
    assert exceptions == []


@pytest.mark.parametrize("error", [ZeroDivisionError, *NOT_FOR_FLASK])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_what_a_teardown_raises(app: flask.Flask, kind: str, error: type[BaseException]) -> None:
    """The server gets it, as from any WSGI application."""
    app.teardown_request(raising(error, kind))

    @app.get("/")
    async def view() -> str:
        return "hello"

    request = begin(FlaskToAsgi(app))
    # Flask 3.2 gathers what teardowns raise in a group.
    usual = (ZeroDivisionError, ExceptionGroup)
    with pytest.raises(usual if error is ZeroDivisionError else RuntimeError):
        await request.end()


async def test_an_error_that_is_to_be_propagated(app: flask.Flask, journal: Journal) -> None:
    app.testing = True
    app.add_url_rule("/", "view", raising(ZeroDivisionError, "async"))

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", error)

    request = begin(FlaskToAsgi(app))
    with pytest.raises(ZeroDivisionError):
        await request.end()
    assert isinstance(journal["teardown"].value, ZeroDivisionError)


class Nonsense:
    def __await__(self) -> Generator[Any, Any, Any]:
        yield 7


@pytest.mark.parametrize("make", [Nonsense, asyncio.new_event_loop().create_future])
async def test_what_cannot_be_awaited_here(
    app: flask.Flask, exceptions: list[BaseException], make: Callable[[], Any]
) -> None:
    """A future of another loop, for one."""

    @app.get("/")
    async def view() -> str:
        await make()
        return "never"

    assert (await fetch(FlaskToAsgi(app))).status == 500
    assert isinstance(exceptions[0], RuntimeError)
