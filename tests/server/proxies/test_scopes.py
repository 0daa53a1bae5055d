# SPDX-License-Identifier: MIT
import json
import logging
from collections.abc import Collection
from typing import Any

import pytest
from flask import Flask, request, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

from ashapp.bridge import FlaskToAsgi
from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.observe.logs.lines import stderr_lines
from ashapp.server.assembly.application import assemble
from ashapp.server.health.state import Health
from ashapp.server.middleware.front import Front
from ashapp.server.proxies.forwarded import FORWARDED_HEADERS
from ashapp.server.proxies.scopes import Proxies
from ashapp.server.proxies.trusted import TrustedProxies
from ashapp.server.settings.loading import load
from tests.support.asgi import Client, fetch, http_scope

PROXY = ("10.0.0.2", 40000)
CLIENT = ("198.51.100.7", 0)
STRANGER = ("203.0.113.9", 40000)


class Application:
    """Notes what it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)


def behind(app: Any, trusted: str, believed: Collection[str]) -> Front:
    """Return *app* behind proxies of which *trusted* are believed."""
    return Front(app, Health(), {}, proxies=Proxies(TrustedProxies(trusted), believed))


async def passed(scope: Scope, trusted: str = "*", believed: Collection[str] = FORWARDED_HEADERS) -> Scope:
    """Pass *scope* through, and return what the application gets."""
    app, client = Application(), Client()
    await behind(app, trusted, believed)(scope, client.receive, client.send)
    (got,) = app.scopes
    assert got is scope, "the layers around see what has been found out"
    return got


async def seen(headers: dict[str, str], *, trusted: str = "10.0.0.0/8", **entries: Any) -> Scope:
    """Return the scope that the application gets, of a request with *headers* by a proxy."""
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]
    return await passed(http_scope(headers=fields, **{"client": PROXY, **entries}), trusted)


@pytest.mark.parametrize("scope", [http_scope(client=STRANGER), {"type": "lifespan"}])
async def test_what_has_no_forwarded_headers_is_passed_on_as_it_is(scope: Scope) -> None:
    before = dict(scope)
    assert await passed(scope) == before
    assert scope.get("headers") is before.get("headers")


async def test_a_trusted_proxy_is_believed() -> None:
    headers = {
        "x-forwarded-for": CLIENT[0],
        "x-forwarded-proto": "https",
        "x-forwarded-host": "shop.example",
        "x-forwarded-port": "8443",
        "x-forwarded-prefix": "/api",
    }
    scope = await seen(headers, target=b"/caf%C3%A9")
    assert scope["client"] == CLIENT
    assert scope["scheme"] == "https"
    assert scope["server"] == ("127.0.0.1", 8443)
    assert scope["headers"][0] == (b"host", b"shop.example:8443")
    assert [name for name, _ in scope["headers"]].count(b"host") == 1
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == ("/api", "/api/café", b"/api/caf%C3%A9")
    assert {name.decode() for name, _ in scope["headers"]} >= headers.keys(), (
        "an application may look at them"
    )


@pytest.mark.parametrize(
    ("headers", "scheme", "host"),
    [
        ({"x-forwarded-port": "80"}, "http", b"localhost"),
        ({"x-forwarded-port": "8080"}, "http", b"localhost:8080"),
        ({"x-forwarded-port": "443", "x-forwarded-proto": "https"}, "https", b"localhost"),
        ({"x-forwarded-port": "443"}, "http", b"localhost:443"),
        ({"x-forwarded-port": "81", "x-forwarded-host": "shop.example:82"}, "http", b"shop.example:81"),
        ({"x-forwarded-port": "81", "x-forwarded-host": "[2001:db8::1]"}, "http", b"[2001:db8::1]:81"),
        ({"x-forwarded-host": "shop.example:82"}, "http", b"shop.example:82"),
    ],
)
async def test_the_host_has_the_port(headers: dict[str, str], scheme: str, host: bytes) -> None:
    scope = await seen(headers)
    assert (scope["scheme"], dict(scope["headers"])[b"host"]) == (scheme, host)


@pytest.mark.parametrize(
    ("prefix", "root_path", "path", "expected"),
    [
        ("/api", "", "/a", ("/api", "/api/a", b"/api/a")),
        ("/api", "/old", "/old/a", ("/api", "/api/a", b"/api/a")),
        ("/api", "/api", "/api/a", ("/api", "/api/a", b"/api/a")),
        ("/api", "/old", "/older", ("/api", "/api/older", b"/api/older")),
        ("/", "/old", "/old/a", ("", "/a", b"/a")),
        ("/caf%C3%A9", "", "/a", ("/café", "/café/a", b"/caf%C3%A9/a")),
    ],
)
async def test_a_prefix_is_the_root_path(
    prefix: str, root_path: str, path: str, expected: tuple[str, str, bytes]
) -> None:
    scope = await seen({"x-forwarded-prefix": prefix}, target=path.encode(), root_path=root_path)
    assert (scope["root_path"], scope["path"], scope["raw_path"]) == expected


async def test_what_a_server_leaves_out_stays_out() -> None:
    scope = http_scope(client=PROXY, server=None)
    scope["headers"] = [(b"x-forwarded-port", b"81"), (b"x-forwarded-prefix", b"/api")]
    del scope["raw_path"]
    fields = list(scope["headers"])
    await passed(scope)
    assert (scope["headers"], scope["server"]) == (fields, ("localhost", 81))
    assert (scope["root_path"], scope["path"], "raw_path" in scope) == ("/api", "/api/", False)


@pytest.mark.parametrize(("kind", "scheme"), [("http", "https"), ("websocket", "wss")])
async def test_a_scheme_is_that_of_the_protocol(kind: str, scheme: str) -> None:
    assert (await seen({"x-forwarded-proto": "https"}, type=kind))["scheme"] == scheme


async def test_headers_that_a_proxy_may_not_have_set_are_left_to_the_application() -> None:
    headers = [(b"x-forwarded-for", CLIENT[0].encode()), (b"x-forwarded-host", b"evil.example")]
    scope = await passed(http_scope(client=PROXY, headers=headers), believed=["x-forwarded-for"])
    assert (scope["client"], scope["headers"]) == (CLIENT, [(b"host", b"localhost"), *headers])


async def test_forwarded_headers_of_strangers_are_removed_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Application()
    proxies = behind(app, "10.0.0.0/8", ["x-forwarded-for"])
    headers = [(name.encode(), b"1") for name in FORWARDED_HEADERS]
    with caplog.at_level(logging.WARNING, "ashapp.server"):
        for _ in range(3):
            scope = http_scope(headers=[*headers, (b"accept", b"*/*")], client=STRANGER)
            await proxies(scope, Client().receive, Client().send)
            assert scope["headers"] == [(b"host", b"localhost"), (b"accept", b"*/*")]
            assert scope["client"] == STRANGER
    (message,) = caplog.messages
    assert message.startswith("Forwarded headers from 203.0.113.9 are removed")
    assert message.endswith("name it in forwarded_allow_ips")


@pytest.mark.parametrize(
    ("trusted", "client", "server", "believed"),
    [
        ("unix", None, ("/run/shop.sock", None), True),
        ("127.0.0.1", None, ("/run/shop.sock", None), False),
        ("unix", None, ("127.0.0.1", 5000), False),
        ("*", None, ("127.0.0.1", 5000), False),
        ("unix", None, None, False),
        ("unix", ("unix", 1), ("127.0.0.1", 5000), False),
        ("10.0.0.2", ("::ffff:10.0.0.2", 4000), ("::", 5000), True),
        ("10.0.0.2", ("::1", 4000), ("::", 5000), False),
    ],
)
async def test_who_connects_by_a_unix_socket_may_be_trusted(
    trusted: str, client: Any, server: Any, *, believed: bool
) -> None:
    scope = await seen({"x-forwarded-for": CLIENT[0]}, trusted=trusted, client=client, server=server)
    assert (scope["client"] == CLIENT) is believed
    assert (b"x-forwarded-for" in dict(scope["headers"])) is believed


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (PROXY, "198.51.100.7 /api /item https://shop.example/api/item"),
        (STRANGER, "203.0.113.9  /item http://localhost/item"),
    ],
)
async def test_flask_sees_what_the_first_proxy_saw_and_its_own_proxy_fix_is_not_fooled(
    client: tuple[str, int], expected: str
) -> None:
    flask = Flask("shop")
    flask.wsgi_app = ProxyFix(flask.wsgi_app)  # type: ignore[method-assign]

    @flask.get("/item")
    def item() -> str:
        return f"{request.remote_addr} {request.script_root} {request.path} {url_for('item', _external=True)}"

    app = behind(FlaskToAsgi(flask), "10.0.0.0/8", FORWARDED_HEADERS)
    fields = {
        "forwarded": "for=192.0.2.66, for=198.51.100.7;proto=https;host=shop.example",
        "x-forwarded-for": "192.0.2.66, 198.51.100.7",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/api",
    }
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    assert (await fetch(app, "GET", b"/item", headers=headers, client=client)).body.decode() == expected


CLIENTS: dict[str, Any] = {
    "": (200, "192.0.2.1"),
    "forwarded_allow_ips=192.0.2.0/24": (200, "198.51.100.7"),
    "forwarded_allow_ips=* proxy_headers=false": (200, "192.0.2.1"),
    "allowed_hosts=localhost": (200, "192.0.2.1"),
    "allowed_hosts=shop.example": (400, "192.0.2.1"),
    "allowed_hosts=shop.example forwarded_allow_ips=192.0.2.1 forwarded_headers=x-forwarded-host": (
        200,
        "192.0.2.1",
    ),
}


@pytest.mark.parametrize("flags", CLIENTS)
async def test_the_service_trusts_whom_the_settings_name(
    capsys: pytest.CaptureFixture[str], flags: str
) -> None:
    flask = Flask("shop")
    flask.add_url_rule("/", "view", lambda: str(request.remote_addr))
    settings = dict(flag.split("=") for flag in flags.split())
    app = assemble(flask, load({"log_format": "json", **settings}))
    headers = [(b"x-forwarded-for", b"198.51.100.7"), (b"x-forwarded-host", b"shop.example")]
    client = await fetch(app, "GET", b"/", headers=headers)
    status, told = CLIENTS[flags]
    assert client.status == status
    assert status == 400 or client.body.decode() == told
    assert (await fetch(app, "GET", b"/livez", headers=headers)).status == 200
    stderr_lines.flush()
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    # Refused requests are logged too, with the client as the application would see it; probes are not.
    requests = [(line["status"], line["client"]) for line in logged if line["event"] == "request"]
    assert requests == [(status, told)]
