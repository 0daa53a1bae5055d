# SPDX-License-Identifier: MIT
import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.server.assembly.application import assemble, load
from ashapp.server.middleware.debugger import Debugger, DebuggerFront, Traced
from ashapp.server.settings.development import DevelopmentSettings
from ashapp.server.settings.loading import load_with_sources
from ashapp.server.settings.model import ServerSettings
from tests.support.server import serving

Project = Callable[..., Path]

SHOP = """\
    from flask import Flask, request

    app = Flask("shop")

    @app.get("/sync")
    def fail():
        secret = 41
        raise LookupError("no such shop")

    @app.get("/async")
    async def fail_on_loop():
        secret = 41
        raise LookupError("no such shop")
"""


class Browser:
    """A client at *address* that keeps the cookie it is given."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.headers: dict[str, str] = {}

    def get(self, path: str, **query: str) -> tuple[int, str]:
        target = f"{path}?{urlencode(query)}" if query else path
        with closing(HTTPConnection(*self._address)) as connection:
            connection.request("GET", target, headers=self.headers)
            response = connection.getresponse()
            if cookie := response.headers.get("Set-Cookie"):
                self.headers["Cookie"] = cookie.partition(";")[0]
            return response.status, response.read().decode()

    def command(self, path: str, cmd: str, **query: str) -> tuple[int, str]:
        return self.get(path, __debugger__="yes", cmd=cmd, **query)


@pytest.fixture
def shop(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A browser at an application as ``dev`` serves it."""
    monkeypatch.setenv("WERKZEUG_DEBUG_PIN", "123-456-789")
    project(shop=SHOP)
    settings = load_with_sources({"app": "shop"}, DevelopmentSettings)[0]
    application = load(settings)
    assert application.debugger is not None
    front = DebuggerFront(assemble(application.found, settings), application.debugger)
    with serving(front, lifespan="on", interface="asgi3") as address:
        yield Browser(address)


def opened(shop: Browser, path: str) -> tuple[str, str]:
    """Open the page for an error; return the secret of its page and its last frame."""
    status, page = shop.get(path)
    assert (status, "LookupError: no such shop" in page) == (500, True)
    (secret,) = re.findall(r'SECRET = "([\w-]+)"', page)
    return secret, re.findall(r'id="frame-(\d+)"', page)[-1]


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_code_is_run_in_the_frame_and_the_request_of_an_error_by_who_knows_the_pin(
    shop: Browser, path: str
) -> None:
    secret, frame = opened(shop, path)
    run = {"frm": frame, "s": secret}
    assert shop.command(path, "secret * 1000003", **run)[0] == 404
    assert '"auth": false' in shop.command(path, "pinauth", s=secret, pin="000-000-000")[1]
    assert '"auth": true' in shop.command(path, "pinauth", s=secret, pin="123-456-789")[1]
    assert "41000123" in shop.command(path, "secret * 1000003", **run)[1]
    assert path in html.unescape(shop.command(path, "request.path", **run)[1])
    assert shop.command(path, "resource", f="style.css")[0] == 200


def test_without_a_pin_no_code_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WERKZEUG_DEBUG_PIN", "off")
    assert not Debugger().evalex


@pytest.mark.parametrize(
    ("name", "value"), [("X-Forwarded-For", "127.0.0.1"), ("Host", "example.test"), ("Via", "1.1 proxy")]
)
def test_nothing_is_run_for_others(shop: Browser, name: str, value: str) -> None:
    secret, frame = opened(shop, "/sync")
    shop.command("/sync", "pinauth", s=secret, pin="123-456-789")
    shop.headers[name] = value
    assert "41000123" not in shop.command("/sync", "secret * 1000003", frm=frame, s=secret)[1]


@pytest.mark.parametrize(("address", "is_shown"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False)])
def test_only_this_machine_is_shown_an_error(*, address: str, is_shown: bool) -> None:
    def fail(_environ: Any, _start_response: Any) -> Any:
        raise LookupError("no such shop")

    environ = {"REMOTE_ADDR": address, "wsgi.errors": io.StringIO(), "REQUEST_METHOD": "GET"}
    traced = Traced(fail, Debugger())
    if is_shown:
        assert "LookupError" in b"".join(traced(environ, lambda *_: None)).decode()
    else:
        with pytest.raises(LookupError):
            traced(environ, lambda *_: None)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("app = (", "SyntaxError: "),
        ("import nosuch", "No module named &#39;nosuch&#39;"),
        ("raise SystemExit(3)", "it exits: 3"),
        ("x = 1", "has no Flask application and no factory"),
    ],
)
def test_an_application_that_cannot_be_imported_says_why(
    project: Project, caplog: pytest.LogCaptureFixture, source: str, told: str
) -> None:
    project(shop=source)
    settings = load_with_sources({"app": "shop"}, DevelopmentSettings)[0]
    with serving(assemble(load(settings).found, settings), lifespan="on", interface="asgi3") as address:
        for _ in range(2):
            status, page = Browser(address).get("/")
            assert (status, told in page) == (500, True)
    assert len(caplog.messages) >= 1


def test_a_startup_that_fails_says_why(caplog: pytest.LogCaptureFixture) -> None:
    def connect() -> None:
        raise LookupError("no database")

    front = DebuggerFront(FlaskToAsgi(Flask("shop"), on_startup=[connect]), Debugger())
    with serving(front, lifespan="on", interface="asgi3") as address:
        status, text = Browser(address).get("/")
    assert (status, "LookupError: no database" in text) == (500, True)
    assert any("no database" in message for message in caplog.messages)


def test_serve_can_not_be_told_to_debug(project: Project) -> None:
    project(shop=SHOP)
    assert not ServerSettings.debug
    assert "debug" not in ServerSettings.fields
    settings = load_with_sources({"app": "shop", "reload": "true", "environment": "development"})[0]
    application = load(settings)
    assert application.debugger is None
    found: Any = application.found
    assert isinstance(found, Flask)
    assert (found.debug, type(vars(found).get("wsgi_app"))) == (False, type(None))
    with serving(FlaskToAsgi(found)) as address:
        assert "Debugger" not in Browser(address).command("/sync", "resource", f="style.css")[1]
    users = [
        path.name
        for path in Path(load.__code__.co_filename).parents[1].rglob("*.py")
        if "DevelopmentSettings" in path.read_text()
    ]
    assert sorted(users) == ["dev.py", "development.py"]
