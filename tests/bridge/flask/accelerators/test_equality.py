# SPDX-License-Identifier: MIT
"""With the accelerators and without, an application does the same: to its client, and to itself."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable
from typing import Any

import flask
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SecureCookieSessionInterface
from hypothesis import given, settings
from hypothesis import strategies as st

from ashapp import FlaskToAsgi
from ashapp.bridge.flask import accelerators
from tests.support.asgi import fetch

Seen = list[Any]
Part = Callable[[flask.Flask, Seen], None]


class OwnResponse(flask.Response):
    default_mimetype = "text/plain"


class OwnRequest(flask.Request):
    parameter_storage_class = dict  # type: ignore[assignment]


class OwnProvider(DefaultJSONProvider):
    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps([obj], **kwargs)


class OwnSessions(SecureCookieSessionInterface):
    def save_session(self, app: flask.Flask, session: Any, response: flask.Response) -> None:
        response.headers["X-Session"] = str(dict(session))
        super().save_session(app, session, response)


class OwnUuid(dict[str, str]):
    """A dict, but not of exactly that type."""


def connect(signal: Any) -> Part:
    def connected(app: flask.Flask, seen: Seen) -> None:
        def receive(sender: object, **values: object) -> None:
            seen.append((signal.name, sorted(values)))

        vars(app).setdefault("receivers", []).append(receive)  # which blinker holds weakly
        signal.connect(receive, app)

    return connected


def after_this_request(app: flask.Flask, seen: Seen) -> None:
    @app.before_request
    def before() -> None:
        @flask.after_this_request
        def after(response: flask.Response) -> flask.Response:
            seen.append(response.status)
            return response


def before(app: flask.Flask, seen: Seen) -> None:
    app.before_request(lambda: seen.append("before"))


def answers_before(app: flask.Flask, _: Seen) -> None:
    app.before_request(lambda: {"before": 1})


def closes(app: flask.Flask, seen: Seen) -> None:
    @app.after_request
    def after(response: flask.Response) -> flask.Response:
        response.call_on_close(lambda: seen.append("closed"))
        response.headers["X-After"] = repr(response.headers)
        return response


def teardown(app: flask.Flask, seen: Seen) -> None:
    app.teardown_request(lambda error: seen.append(("request", repr(error), flask.has_request_context())))
    app.teardown_appcontext(lambda error: seen.append(("context", repr(error), flask.has_request_context())))


def middleware(app: flask.Flask, seen: Seen) -> None:
    inner = app.wsgi_app

    def wrapped(environ: Any, start_response: Any) -> Any:
        seen.append("middleware")
        return inner(environ, start_response)

    app.wsgi_app = wrapped  # type: ignore[method-assign]


# What an application may have of its own.
PARTS: dict[str, Part] = {
    "response class": lambda app, _: setattr(app, "response_class", OwnResponse),
    "request class": lambda app, _: setattr(app, "request_class", OwnRequest),
    "JSON provider": lambda app, _: setattr(app, "json", OwnProvider(app)),
    "session interface": lambda app, _: setattr(app, "session_interface", OwnSessions()),
    "cookie name": lambda app, _: app.config.update(SESSION_COOKIE_NAME="own"),
    "salt": lambda app, _: setattr(app.session_interface, "salt", "own"),
    "no key": lambda app, _: setattr(app, "secret_key", None),
    "new key": lambda app, _: app.config.update(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["key"]),
    "server name": lambda app, _: app.config.update(SERVER_NAME="localhost"),
    "unsorted": lambda app, _: setattr(app.json, "sort_keys", False),
    "indented": lambda app, _: setattr(app.json, "compact", False),
    "not ASCII": lambda app, _: setattr(app.json, "ensure_ascii", False),
    "JSON type": lambda app, _: setattr(app.json, "mimetype", "application/vnd.own+json"),
    "debug": lambda app, _: setattr(app, "debug", True),
    "own default": lambda app, _: setattr(app.json, "default", lambda value: f"own {type(value).__name__}"),
    "before": before,
    "answers before": answers_before,
    "handler": lambda app, _: app.register_error_handler(Exception, lambda error: (repr(error), 500)),
    "closes": closes,
    "teardown": teardown,
    "after this": after_this_request,
    "middleware": middleware,
    **{
        signal.name: connect(signal)
        for signal in (
            *(flask.request_started, flask.request_finished, flask.request_tearing_down),
            *(flask.appcontext_pushed, flask.appcontext_popped, flask.appcontext_tearing_down),
        )
    },
}


def fail() -> None:
    raise KeyError("view")


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def encode_again() -> list[Any]:
    """Return a list that is no circle any more, once it could not be encoded."""
    items = circle()
    with contextlib.suppress(ValueError):
        flask.make_response(items)
    items.clear()
    return items


class MakesResponse:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __html__(self) -> str:
        """Make a response while another one is made."""
        return flask.make_response(self.value).get_data(as_text=True)


def session_of(change: Callable[[Any], object]) -> Callable[[], Any]:
    def view() -> str:
        change(flask.session)
        return repr(dict(flask.session))

    return view


# What a view may do.
VIEWS: dict[str, Callable[[], Any]] = {
    "raises": fail,
    "aborts": lambda: flask.abort(409),
    "None": lambda: None,
    "dict": lambda: {"b": "ä", "a": [1, None, 2.5, {"c": True}]},
    "odd dict": lambda: OwnUuid(a="b"),
    "UUID": lambda: {"id": uuid.UUID(int=1)},
    "keys": lambda: {1: "a", "b": 2},
    "circle": circle,
    "no circle": encode_again,
    "encodes within": lambda: {"a": MakesResponse({"b": MakesResponse("c")})},
    "list": list,
    "text": lambda: "ä",
    "bytes": lambda: b"\x00\xff",
    "empty": lambda: "",
    "pair": lambda: ({"a": 1}, 201),
    "triple": lambda: ("text", "202 Own", {"X-Own": "1", "Location": "/ä"}),
    "redirect": lambda: flask.redirect("/other"),
    "204": lambda: ("", 204),
    "304": lambda: ("text", 304),
    "many": lambda: flask.Response(["a", "ä"]),
    "stream": lambda: flask.Response(iter(["a", "b"])),
    "direct": lambda: flask.Response([b"a"], direct_passthrough=True),
    "no length": lambda: flask.Response([b"abc"]),
    "location": lambda: flask.Response("a", headers={"Content-Location": "/ä"}),
    "cookies": lambda: repr(sorted(flask.request.cookies.items())),
    "request": lambda: f"{flask.request.url} {flask.request.blueprints} {flask.request.args.get('q')}",
    "context": lambda: f"{flask.g} {flask.current_app.name} {flask.request.endpoint}",
    "reads": session_of(lambda session: session.get("a")),
    "writes": session_of(lambda session: session.update(a=1)),
    "clears": session_of(lambda session: session.clear()),
    "keeps": session_of(lambda session: session.update(_permanent=True)),
    "form": lambda: flask.request.form,
}


def serve(parts: list[str], view: str, requests: list[Any], *, is_async: bool, enabled: bool) -> Seen:
    seen: Seen = []
    app = flask.Flask("tests.equality")  # its logger is no other test's
    app.secret_key = "key"
    app.session_interface = SecureCookieSessionInterface()  # for Flask has one for all, which parts change
    app.logger.disabled = True
    for part in parts:
        PARTS[part](app, seen)
    function = VIEWS[view]

    async def on_loop() -> Any:
        await asyncio.sleep(0)
        return function()

    app.add_url_rule("/", "view", on_loop if is_async else function, methods=["GET", "POST"])
    was, accelerators.ENABLED = accelerators.ENABLED, enabled
    try:
        asyncio.run(_ask(FlaskToAsgi(app), requests, seen))
    finally:
        accelerators.ENABLED = was
    return seen


async def _ask(bridge: FlaskToAsgi, requests: list[Any], seen: Seen) -> None:
    cookie = b""
    for method, target, cookies in [("GET", b"/", []), *requests]:
        headers = [(b"cookie", name) for name in [*cookies, *([cookie] if cookie else [])]]
        try:
            client = await fetch(bridge, method, target, headers=headers)
        except Exception as error:
            seen.append(repr(error))
            continue
        head = [(name, _timeless(value)) for name, value in client.sent[0]["headers"]]
        seen.append((client.status, head, client.body))
        for name, value in client.sent[0]["headers"]:
            if name == b"set-cookie":
                cookie = value.partition(b";")[0]


def _timeless(value: bytes) -> bytes:
    """Leave out what depends on the time: the signature of a session, and when it expires."""
    return re.sub(rb"(=[\w-]+)\.[\w-]+\.[\w-]+|(?<=Expires=)[^;]*", rb"\1", value)


@settings(deadline=None, max_examples=100)
@given(
    parts=st.lists(st.sampled_from(sorted(PARTS)), max_size=3, unique=True),
    view=st.sampled_from(sorted(VIEWS)),
    requests=st.lists(
        st.tuples(
            st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "DELETE"]),
            st.sampled_from([b"/", b"/?q=1", b"/none", b"//", b"/%C3%A4"]),
            st.lists(st.sampled_from([b"a=b", b"session=none", b"c"]), max_size=2),
        ),
        min_size=1,
        max_size=3,
    ),
    is_async=st.booleans(),
)
def test_an_application_does_the_same(**drawn: Any) -> None:
    assert serve(**drawn, enabled=True) == serve(**drawn, enabled=False)
