# SPDX-License-Identifier: MIT
"""Views that are an ``async def`` with ``yield``: they have the context of their request until their end."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any

import flask
import pytest
from flask.views import MethodView, View

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch
from tests.support.flask import begin
from tests.support.journal import Journal

Items = Callable[..., AsyncIterator[str]]


def plain(view: Items) -> Any:
    return view


def decorated(view: Items) -> Any:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return wrapper


def decorated_as_flask_says(view: Items) -> Any:
    @functools.wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return flask.current_app.ensure_sync(view)(*args, **kwargs)

    return wrapper


def bound(view: Items) -> Any:
    return type("Views", (), {"view": lambda self, word: view(word), "own": staticmethod(view)})().own


def partial(view: Items) -> Any:
    return functools.partial(view)


def method_view(view: Items) -> Any:
    kind: Any = type("Words", (MethodView,), {"get": staticmethod(view)})
    return kind.as_view("words")


def class_based(view: Items) -> Any:
    kind: Any = type("Words", (View,), {"dispatch_request": staticmethod(view)})
    return kind.as_view("words")


def an_object(view: Items) -> Any:
    class Words:
        async def __call__(self, word: str) -> AsyncIterator[str]:
            async for item in view(word):
                yield item

    return Words()


FORMS = [plain, decorated, decorated_as_flask_says, bound, partial, method_view, class_based, an_object]


@pytest.fixture(params=["loop", "threads"])
def bridge(request: pytest.FixtureRequest, app: flask.Flask) -> Callable[[], FlaskToAsgi]:
    """A function that wraps the application, whose async views run on the loop or on threads."""

    def wrap() -> FlaskToAsgi:
        if request.param == "threads":
            inner = app.wsgi_app
            app.wsgi_app = lambda *args: inner(*args)  # type: ignore[method-assign]  # noqa: PLW0108 - middleware
        return FlaskToAsgi(app)

    return wrap


def add_view(app: flask.Flask, journal: Journal, form: Callable[[Items], Any]) -> None:
    async def words(word: str) -> AsyncIterator[str]:
        try:
            flask.g.count = 0
            yield f"{word} {flask.request.args.get('a')} "
            await asyncio.sleep(0)
            flask.g.count += 1
            yield f"{flask.session.get('name')} {flask.g.count} {flask.url_for('words', word='x')}"
        finally:
            await asyncio.sleep(0)
            journal.note("closed", flask.request.path)

    app.add_url_rule("/<word>", "words", form(words))

    @app.before_request
    def before() -> None:
        flask.session["name"] = "session"

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", flask.request.path)


@pytest.mark.parametrize("form", FORMS)
async def test_it_has_its_request_until_its_end(
    app: flask.Flask, journal: Journal, bridge: Callable[[], FlaskToAsgi], form: Callable[[Items], Any]
) -> None:
    add_view(app, journal, form)

    client = await fetch(bridge(), target=b"/word?a=b")

    assert (client.body, client.complete) == (b"word b session 1 /x", True)
    assert journal["closed"].value == "/word"
    assert journal.names[-2:] == ["closed", "teardown"], "as stream_with_context does"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("in_loop", [True, False])
async def test_it_has_it_in_flasks_test_client(
    app: flask.Flask, journal: Journal, form: Callable[[Items], Any], *, in_loop: bool
) -> None:
    add_view(app, journal, form)
    FlaskToAsgi(app)

    def get() -> bytes:
        return app.test_client().get("/word?a=b").get_data()

    assert (get() if in_loop else await asyncio.to_thread(get)) == b"word b session 1 /x"
    assert journal["closed"].value == "/word"
    assert journal.names[-2:] == ["closed", "teardown"]


async def test_requests_at_once_have_each_their_own(
    app: flask.Flask, bridge: Callable[[], FlaskToAsgi]
) -> None:
    @app.get("/<word>")
    async def words(word: str) -> AsyncIterator[str]:
        for _ in range(5):
            await asyncio.sleep(0.001)
            yield f"{word == flask.request.path[1:]} "

    application = bridge()
    requests = [begin(application, target=b"/%d" % number) for number in range(30)]

    assert {(await request.end()).body for request in requests} == {b"True " * 5}


async def test_head_runs_nothing_of_it(
    app: flask.Flask, journal: Journal, bridge: Callable[[], FlaskToAsgi]
) -> None:
    add_view(app, journal, plain)

    client = await fetch(bridge(), "HEAD", b"/word")

    assert (client.status, client.body, client.complete) == (200, b"", True)
    assert "closed" not in journal


async def test_one_that_fails_is_cut_off_and_torn_down(
    app: flask.Flask, journal: Journal, bridge: Callable[[], FlaskToAsgi]
) -> None:
    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        journal.note("teardown", type(error))

    @app.get("/")
    async def words() -> AsyncIterator[str]:
        yield "a"
        raise ZeroDivisionError

    request = begin(bridge())

    with pytest.raises(ZeroDivisionError):
        await request.end()
    assert (request.client.body, request.client.complete) == (b"a", False)
    assert journal.entries[-1].value is ZeroDivisionError


@pytest.mark.parametrize("where", ["waits", "sends"])
async def test_one_whose_client_leaves_ends_in_its_request(
    app: flask.Flask, journal: Journal, bridge: Callable[[], FlaskToAsgi], where: str
) -> None:
    @app.get("/")
    async def words() -> AsyncIterator[bytes]:
        try:
            async with asyncio.timeout(60):
                while True:
                    yield bytes(65536)
                    if where == "waits":
                        await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.001)
            journal.note("closed", flask.request.path)

    client = Client()
    request = begin(bridge(), client=client)
    await client.until(lambda client: len(client.sent) >= 2)
    if where == "sends":
        client.reads.clear()
        await asyncio.sleep(0.01)
    client.leave()
    client.reads.set()
    await request.end()

    assert journal["closed"].value == "/"


async def test_a_generator_that_a_view_returns_has_it_only_by_stream_with_context(
    app: flask.Flask, bridge: Callable[[], FlaskToAsgi]
) -> None:
    """As in Flask: a long stream would hold for its whole time what teardown gives back."""

    async def items() -> AsyncIterator[str]:
        yield str(flask.has_request_context())

    @app.get("/")
    async def view() -> Any:
        return items()

    assert (await fetch(bridge())).body == b"False"
