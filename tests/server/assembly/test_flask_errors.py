# SPDX-License-Identifier: MIT
import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.observe.observation import Observation, current
from ashapp.observe.observer import Observer
from ashapp.server.assembly.flask_errors import _note, note_errors_of
from tests.support.asgi import fetch


def failing_app() -> Flask:
    app = Flask("shop")

    @app.get("/sync")
    def sync_view() -> str:
        raise LookupError("no such item")

    @app.get("/async")
    async def async_view() -> str:
        raise LookupError("no such item")

    @app.errorhandler(KeyError)
    def handle(error: KeyError) -> tuple[str, int]:
        return "handled", 409

    @app.get("/handled")
    def handled_view() -> str:
        raise KeyError("known")

    return app


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"/sync", [LookupError]), (b"/async", [LookupError]), (b"/handled", [type(None)])],
)
async def test_what_flask_answers_itself_is_noted(path: bytes, expected: list[type]) -> None:
    app = failing_app()
    note_errors_of(app)
    errors: list[type] = []
    observed = Observer(FlaskToAsgi(app), [lambda observation: errors.append(type(observation.error))])
    client = await fetch(observed, "GET", path)
    assert client.status == (409 if path == b"/handled" else 500)
    assert errors == expected


async def test_other_applications_are_left_alone() -> None:
    note_errors_of(failing_app())
    errors: list[BaseException | None] = []
    observed = Observer(FlaskToAsgi(failing_app()), [lambda observation: errors.append(observation.error)])
    await fetch(observed, "GET", b"/sync")
    assert errors == [None]


async def test_an_error_outside_or_after_a_request_is_none_of_it() -> None:
    app = failing_app()
    _note(app, exception=LookupError())
    seen: list[Observation] = []
    await fetch(Observer(FlaskToAsgi(app), [seen.append]), "GET", b"/handled")
    current.set(seen[0])
    _note(app, exception=LookupError())
    assert seen[0].error is None
