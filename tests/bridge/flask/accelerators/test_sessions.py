# SPDX-License-Identifier: MIT
"""Sessions are quicker for each application of a process, and nowhere other than Flask's."""

import asyncio
from typing import Any

import flask
import pytest
from flask.sessions import NullSession, SecureCookieSession, SecureCookieSessionInterface
from werkzeug.datastructures import ImmutableMultiDict

from ashapp import FlaskToAsgi
from tests.support.asgi import fetch


class HeaderRequest(flask.Request):
    @property
    def cookies(self) -> Any:
        return ImmutableMultiDict({"session": self.headers.get("X-Session", "")})


class OwnSession(SecureCookieSession):
    """A session of the application's own."""


class OwnNullSession(NullSession):
    """A session without a key, of the application's own."""


@pytest.fixture(autouse=True)
def _interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give all applications one interface, as Flask does, that no other test has changed."""
    monkeypatch.setattr(flask.Flask, "session_interface", SecureCookieSessionInterface())


def make_app() -> flask.Flask:
    app = flask.Flask("app")
    app.secret_key = "key"
    session: Any = flask.session
    app.add_url_rule("/", "view", lambda: type(session._get_current_object()).__name__)
    app.add_url_rule("/user", "user", lambda: str(flask.session.get("user")))
    return app


def test_a_request_class_may_have_its_cookies_from_elsewhere() -> None:
    app = make_app()
    app.request_class = HeaderRequest
    interface: Any = app.session_interface
    token = interface.get_signing_serializer(app).dumps({"user": "me"})
    bridge = FlaskToAsgi(app)
    client = asyncio.run(fetch(bridge, "GET", b"/user", headers=[(b"x-session", token.encode())]))
    assert client.body == b"me"


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [("session_class", OwnSession, "key"), ("null_session_class", OwnNullSession, None)],
)
def test_the_classes_of_sessions_may_change(
    monkeypatch: pytest.MonkeyPatch, name: str, kind: type, key: str | None
) -> None:
    app = make_app()
    app.secret_key = key
    bridge = FlaskToAsgi(app)
    monkeypatch.setattr(SecureCookieSessionInterface, name, kind)
    assert asyncio.run(fetch(bridge, "GET", b"/")).body == kind.__name__.encode()


def test_an_interface_that_is_changed_while_the_application_is_served_is_asked() -> None:
    app = make_app()
    bridge = FlaskToAsgi(app)
    assert asyncio.run(fetch(bridge, "GET", b"/user")).body == b"None"
    interface: Any = app.session_interface
    interface.open_session = lambda *_: SecureCookieSession({"user": "me"})
    assert asyncio.run(fetch(bridge, "GET", b"/user")).body == b"me"


def test_each_application_signs_with_its_own_key_of_the_moment() -> None:
    bridges = {name: FlaskToAsgi(make_app()) for name in ("one", "other")}
    for app in (bridge.wsgi_application for bridge in bridges.values()):
        app.add_url_rule("/sign", "sign", lambda: flask.session.update(user="me") or "")
    for key in ("old", "new"):
        for name, bridge in bridges.items():
            app = bridge.wsgi_application
            app.secret_key = f"{key} key of {name}"
            answer = asyncio.run(fetch(bridge, "GET", b"/sign"))
            cookie = answer.headers["set-cookie"].removeprefix("session=").partition(";")[0]
            serializer: Any = SecureCookieSessionInterface().get_signing_serializer(app)
            assert serializer.loads(cookie) == {"user": "me"}
