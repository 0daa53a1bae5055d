# SPDX-License-Identifier: MIT
"""Marks of what does not block, on callables and on URL converters."""

import asyncio
import functools
from collections.abc import AsyncIterator

import flask
import pytest
from flask.sessions import SecureCookieSessionInterface
from flask.views import View
from werkzeug.routing import BaseConverter, Map, Rule, ValidationError

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.loop_or_thread.converters import guard_converters, may_block
from ashapp.bridge.loop_or_thread.marks import is_nonblocking, is_on_thread, nonblocking, on_thread
from tests.support.asgi import fetch
from tests.support.journal import Journal


def index() -> str:
    return "index"


async def stream() -> AsyncIterator[str]:
    yield "item"


def test_an_async_generator_needs_no_mark() -> None:
    assert (is_nonblocking(stream), is_nonblocking(index)) == (True, False)


def test_the_mark_on_a_bound_method_is_on_its_function() -> None:
    class Service:
        def ping(self) -> None:
            pass

    nonblocking(Service().ping)
    assert is_nonblocking(Service().ping)


def test_the_mark_on_a_class_is_on_its_objects() -> None:
    @nonblocking
    class Sessions(SecureCookieSessionInterface):
        pass

    assert is_nonblocking(Sessions)
    assert is_nonblocking(Sessions())
    assert not is_nonblocking(SecureCookieSessionInterface)


def test_what_is_marked_is_kept_on_threads() -> None:
    class Marked(View):
        pass

    class Sessions:
        async def ping(self) -> None: ...

    assert on_thread(Marked) is Marked
    marked = (
        Marked,
        Marked.as_view("marked"),
        functools.partial(on_thread(stream)),
        on_thread(Sessions().ping),
    )
    assert [target for target in marked if not is_on_thread(target)] == []
    others = (View, View.as_view("other"), index, functools.partial(index), None)
    assert [target for target in others if is_on_thread(target)] == []


def test_the_mark_on_an_object_is_on_it_alone() -> None:
    assert is_nonblocking(nonblocking(SecureCookieSessionInterface()))
    assert not is_nonblocking(SecureCookieSessionInterface())


pytestmark = pytest.mark.usefixtures("accelerated")


class Upper(BaseConverter):
    def to_python(self, value: str) -> str:
        return value.upper()


@nonblocking
class Quick(Upper):
    pass


class Regex(BaseConverter):
    regex = "[a-z]+"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("/", None),
        ("/<value>/<int:number>", None),
        ("/<quick:value>", None),
        ("/<regex:value>", None),
        ("/<quick:a>/<upper:b>", "upper"),
    ],
)
def test_a_rule_may_block_by_a_converter_of_its_own(rule: str, name: str | None) -> None:
    converters = {"upper": Upper, "quick": Quick, "other": Upper, "regex": Regex}
    url_map = Map([Rule(rule)], converters=converters)
    [found] = url_map.iter_rules()
    assert may_block(found) == name
    assert guard_converters(url_map) == (name is not None)
    url_map.converters.clear()
    assert may_block(found) == (name and "Upper"), "one that is not registered any more"


@pytest.mark.parametrize("mark", [False, True])
async def test_a_converter_runs_on_the_loop_if_it_is_marked(
    app: flask.Flask, journal: Journal, *, mark: bool
) -> None:
    """Else the views of its rules are on a thread, and so is what it says no to."""

    class Converter(BaseConverter):
        def to_python(self, value: str) -> str:
            journal.note("converter", value)
            if value == "no":
                raise ValidationError
            return value.upper()

    app.url_map.converters["own"] = nonblocking(Converter) if mark else Converter

    @app.get("/items/<own:value>")
    async def own(value: str) -> str:
        await asyncio.sleep(0)
        return value

    app.add_url_rule("/", "view", of_flask)
    bridge = FlaskToAsgi(app)
    yes, no = [await fetch(bridge, target=b"/items/" + value) for value in (b"yes", b"no")]
    assert (yes.body, no.status) == (b"YES", 404)
    assert {entry.on_loop for entry in journal.entries if entry.value == "yes"} == {mark}
    journal.clear()
    assert (await fetch(bridge)).status == 200
    assert "converter" not in journal
    placement = bridge._dispatch.placement
    assert [placement.of(name).on_loop for name in ("own", "view")] == [mark, True]


async def test_a_guarded_converter_is_as_ever_for_others(app: flask.Flask) -> None:
    """For Flask's own test client, on a loop too."""

    class Converter(BaseConverter):
        def to_python(self, value: str) -> str:
            return value.upper()

    app.url_map.converters["own"] = Converter
    app.add_url_rule("/items/<own:value>", "own", lambda value: value)

    @app.get("/")
    async def view() -> str:
        return "hello"

    assert (await fetch(FlaskToAsgi(app), target=b"/items/tea")).body == b"TEA"
    assert app.test_client().get("/items/tea").data == b"TEA"


async def of_flask() -> str:
    return "hello"
