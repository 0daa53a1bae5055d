# SPDX-License-Identifier: MIT
"""A shortcut is taken for methods that are as they are known, and for no others."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import flask
import pytest
from flask.ctx import AppContext
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSessionInterface
from werkzeug.datastructures import EnvironHeaders, Headers
from werkzeug.sansio.response import Response as SansIoResponse
from werkzeug.wrappers import Request, Response

from ashapp import FlaskToAsgi
from ashapp.bridge.flask import async_dispatch
from ashapp.bridge.flask.accelerators import contexts, wsgi_responses
from ashapp.bridge.flask.accelerators.originals import AllOriginals, Originals
from tests.support.asgi import fetch
from tests.support.flask import IS_MERGED, accelerated_release

# From Flask 3.2 on there is no other context for a request.
RequestContext: Any = AppContext if IS_MERGED else flask.ctx.RequestContext

GROUPS = {
    f"{group.owner.__name__}: {' '.join(group.names)}": group
    for module in (contexts, wsgi_responses, async_dispatch)
    for found in vars(module).values()
    if isinstance(found, AllOriginals | Originals)
    for group in (found.groups if isinstance(found, AllOriginals) else [found])
}


class EqualWrapper:
    """A wrapper that equals *inner*, as those of wrapt do, by which Datadog and New Relic trace Flask."""

    __hash__ = object.__hash__

    def __init__(self, inner: Callable[..., Any], note: Callable[[], object]) -> None:
        self.inner = inner
        self.note = note

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else partial(self, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.note()
        return self.inner(*args, **kwargs)

    def __eq__(self, other: object) -> bool:
        return other == self.inner


# Of the names that the code of a response's status uses.
STATUS = 0x785521C7


def make_app(*, is_async: bool = False) -> flask.Flask:
    app = flask.Flask(__name__)
    app.secret_key = "not a secret"

    async def on_loop() -> dict[str, int]:
        return {"a": 1}

    app.add_url_rule("/", "view", on_loop if is_async else lambda: {"a": 1})
    return app


@accelerated_release
@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS)
def test_the_methods_are_as_they_are_known(group: Originals) -> None:
    assert group.are_known, f"look at what has changed upstream; their checksum is {group.checksum:#010x}"


def test_a_method_that_uses_other_names_is_not_known() -> None:
    assert not Originals(flask.Flask, "make_response", 1).are_those_of(flask.Flask)


def test_nor_is_a_property_that_is_defined_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Originals(SansIoResponse, "status", STATUS).are_known
    monkeypatch.setattr(SansIoResponse, "status", property(lambda response: response._status))
    assert not Originals(SansIoResponse, "status", STATUS).are_known


# What a tool may replace while the application is served, where Flask calls it.
REPLACED = [
    *((Response, name) for name in ("get_wsgi_headers", "get_app_iter", "iter_encoded", "close")),
    *((Response, name) for name in ("__init__", "set_data", "__call__")),
    *((RequestContext, name) for name in ("__init__", "push", "pop")),
    *((AppContext, name) for name in ("__init__", "push", "pop")),
    *((SecureCookieSessionInterface, name) for name in ("open_session", "save_session", "is_null_session")),
    *((DefaultJSONProvider, name) for name in ("response", "dumps")),
    *((flask.Flask, name) for name in ("dispatch_request", "finalize_request", "process_response")),
    *((flask.Flask, name) for name in ("do_teardown_request", "do_teardown_appcontext")),
    *((flask.Flask, name) for name in ("preprocess_request", "app_context", "make_response")),
    *((flask.Flask, name) for name in ("__call__", "wsgi_app", "full_dispatch_request")),
    *((Request, "close"), (Headers, "__init__"), (EnvironHeaders, "__init__")),
]
# Those that the bridge has on the object by now: it has kept the method that was there.
KEPT = {
    *("make_response", "preprocess_request", "do_teardown_request", "do_teardown_appcontext"),
    *("full_dispatch_request", *["app_context"] * IS_MERGED),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(("owner", "name"), REPLACED)
async def test_what_is_replaced_while_the_application_is_served_is_called(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch, *, is_async: bool
) -> None:
    bridge = FlaskToAsgi(make_app(is_async=is_async))
    first = await fetch(bridge)
    called: list[str] = []
    inner = getattr(owner, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        called.append(name)
        return inner(*args, **kwargs)

    monkeypatch.setattr(owner, name, replacement)
    second = await fetch(bridge)
    assert bool(called) == (name not in KEPT)
    assert (second.sent[0], second.body) == (first.sent[0], first.body)


@pytest.mark.parametrize("is_async", [False, True])
async def test_so_is_a_property_of_a_response(monkeypatch: pytest.MonkeyPatch, *, is_async: bool) -> None:
    bridge = FlaskToAsgi(make_app(is_async=is_async))
    for _ in range(2):  # the first is left to Flask
        await fetch(bridge)
    monkeypatch.setattr(
        Response, "status", property(lambda _: "202 Own", vars(SansIoResponse)["status"].fset)
    )
    assert (await fetch(bridge)).status == 202


async def test_what_is_replaced_while_a_view_waits_is_called_for_its_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = make_app()
    called: list[str] = []
    inner = Response.__call__

    def replacement(response: Response, environ: Any, start_response: Any) -> Any:
        called.append(flask.request.path)
        return inner(response, environ, start_response)

    @app.get("/waits")
    async def wait() -> str:
        monkeypatch.setattr(Response, "__call__", replacement)
        await asyncio.sleep(0.01)
        return "waited"

    assert (await fetch(FlaskToAsgi(app), path="/waits")).body == b"waited"
    assert called == ["/waits"]


@pytest.mark.parametrize("is_equal", [False, True])
@pytest.mark.parametrize("name", ["make_response", "process_response"])
async def test_so_is_a_method_of_the_application(name: str, *, is_equal: bool) -> None:
    app = make_app()
    called: list[str] = []

    @app.get("/waits")
    async def wait() -> str:
        wrapper = EqualWrapper(getattr(app, name), lambda: called.append(name))
        setattr(app, name, wrapper if is_equal else wrapper.__call__)
        await asyncio.sleep(0.01)
        return "waited"

    bridge = FlaskToAsgi(app)
    await fetch(bridge)  # which is left to Flask
    assert (await fetch(bridge, path="/waits")).body == b"waited"
    assert called == [name]


@pytest.mark.parametrize("is_served", [False, True])
@pytest.mark.parametrize("name", ["process_response", "dispatch_request"])
async def test_so_is_a_wrapper_that_equals_the_method(
    name: str, monkeypatch: pytest.MonkeyPatch, *, is_served: bool
) -> None:
    app = make_app(is_async=True)
    called: list[str] = []
    wrapper = EqualWrapper(getattr(flask.Flask, name), lambda: called.append(name))
    if not is_served:
        monkeypatch.setattr(flask.Flask, name, wrapper)
    bridge = FlaskToAsgi(app)
    await fetch(bridge)
    monkeypatch.setattr(flask.Flask, name, wrapper)
    called.clear()
    await fetch(bridge)
    assert called == [name]


async def test_a_class_that_takes_the_place_of_flasks_is_left_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(flask.Response):
        def get_wsgi_headers(self, environ: Any) -> Headers:
            return Headers({**super().get_wsgi_headers(environ), "x-own": "1"})

    app = make_app()

    @app.get("/own")
    async def own() -> flask.Response:
        return flask.Response("own")

    bridge = FlaskToAsgi(app)
    await fetch(bridge)
    monkeypatch.setattr(flask, "Response", Own)
    assert (await fetch(bridge, path="/own")).headers["x-own"] == "1"


OWN = ["dispatch_request", "finalize_request", "process_response", "wsgi_app"]
OWN += ["app_context"] * (not IS_MERGED)


@pytest.mark.parametrize("is_equal", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", [*OWN, "full_dispatch_request", "ensure_sync"])
async def test_what_is_replaced_on_the_application_while_it_is_served_is_called(
    name: str, *, is_async: bool, is_equal: bool
) -> None:
    app = make_app(is_async=is_async)
    bridge = FlaskToAsgi(app)
    await fetch(bridge)
    called: list[str] = []
    wrapper = EqualWrapper(getattr(app, name), lambda: called.append(name))
    setattr(app, name, wrapper if is_equal else wrapper.__call__)
    assert (await fetch(bridge)).body == b'{"a":1}\n'
    assert called == [name]


async def test_what_a_view_replaces_is_called_for_the_request_that_it_makes() -> None:
    app = make_app(is_async=True)
    bridge = FlaskToAsgi(app)
    called: list[str] = []
    inner = app.process_response

    def replacement(*args: Any) -> flask.Response:
        called.append(flask.request.path)
        return inner(*args)

    @app.get("/outer")
    async def outer() -> str:
        vars(app)["process_response"] = replacement
        return (await fetch(bridge)).body.decode()

    await fetch(bridge)
    clients = await asyncio.gather(fetch(bridge), fetch(bridge, target=b"/outer"))
    assert [client.body for client in clients] == [b'{"a":1}\n'] * 2
    assert "/" in called
