# SPDX-License-Identifier: MIT
"""Routing, sessions and the like, of an application all of whose views are async."""

import asyncio
from typing import Any
from unittest.mock import patch

import flask
import pytest
from werkzeug.routing import MapAdapter

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import Client, fetch, http_scope


@pytest.fixture
def app(app: flask.Flask) -> flask.Flask:
    @app.get("/")
    async def index() -> str:
        return "index"

    @app.get("/directory/")
    async def directory() -> str:
        return "directory"

    @app.route("/item/<int:number>", methods=["PUT", "DELETE"])
    async def item(number: int) -> str:
        return f"{flask.request.method} {number}"

    @app.get("/visits")
    async def visits() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        await asyncio.sleep(0)
        return str(flask.session["visits"])

    @app.get("/flash")
    async def flash() -> str:
        flask.flash("one")
        flask.flash("two")
        return "flashed"

    @app.get("/flashed")
    async def flashed() -> list[Any]:
        return list(flask.get_flashed_messages())

    @app.get("/url")
    async def url() -> str:
        return flask.url_for("item", number=7) + " " + flask.url_for("item", number=7, _external=True)

    return app


@pytest.mark.parametrize(
    ("method", "target", "status", "body"),
    [
        ("GET", b"/", 200, b"index"),
        ("HEAD", b"/", 200, b""),
        ("GET", b"/directory/", 200, b"directory"),
        ("GET", b"/directory", 308, None),
        ("PUT", b"/item/7", 200, b"PUT 7"),
        ("DELETE", b"/item/7", 200, b"DELETE 7"),
        ("GET", b"/item/7", 405, None),
        ("PUT", b"/item/x", 404, None),
        ("POST", b"/", 405, None),
        ("OPTIONS", b"/", 200, b""),
        ("OPTIONS", b"/nowhere", 404, None),
        ("GET", b"/nowhere", 404, None),
        ("HEAD", b"/nowhere", 404, b""),
        ("GET", b"/static/nothing.css", 404, None),
        ("GET", b"/url", 200, b"/item/7 http://localhost/item/7"),
        ("BREW", b"/", 405, None),
    ],
)
async def test_routes(app: flask.Flask, method: str, target: bytes, status: int, body: bytes | None) -> None:
    bridge = FlaskToAsgi(app)
    for _ in range(2):
        with patch.object(MapAdapter, "match", autospec=True, side_effect=MapAdapter.match) as matching:
            client = await fetch(bridge, method, target)

        assert client.status == status
        assert client.complete
        if body is not None:
            assert client.body == body
        without_options = [call for call in matching.call_args_list if call.kwargs == {"return_rule": True}]
        assert len(without_options) == 1


async def test_a_redirect_leads_to_the_slash(app: flask.Flask) -> None:
    client = await fetch(FlaskToAsgi(app), target=b"/directory?a=b")

    assert client.headers["location"] == "http://localhost/directory/?a=b"


async def test_a_refused_method_is_told_which_there_are(app: flask.Flask) -> None:
    client = await fetch(FlaskToAsgi(app), "GET", b"/item/7")

    assert set(client.headers["allow"].split(", ")) == {"PUT", "DELETE", "OPTIONS"}


async def test_head_has_the_headers_of_get(app: flask.Flask) -> None:
    client = await fetch(FlaskToAsgi(app), "HEAD")

    assert client.headers["content-length"] == "5"


def cookies(client: Client) -> list[tuple[bytes, bytes]]:
    return [(b"cookie", client.headers["set-cookie"].partition(";")[0].encode())]


async def test_sessions(app: flask.Flask) -> None:
    bridge = FlaskToAsgi(app)
    first = await fetch(bridge, target=b"/visits")
    second = await fetch(bridge, target=b"/visits", headers=cookies(first))

    assert (first.body, second.body) == (b"1", b"2")


async def test_flashed_messages(app: flask.Flask) -> None:
    bridge = FlaskToAsgi(app)
    first = await fetch(bridge, target=b"/flash")
    second = await fetch(bridge, target=b"/flashed", headers=cookies(first))

    assert second.body == b'["one","two"]\n'
    assert (await fetch(bridge, target=b"/flashed", headers=cookies(second))).body == b"[]\n"


async def test_g_belongs_to_the_request(app: flask.Flask) -> None:
    @app.before_request
    def before() -> None:
        assert "user" not in flask.g
        flask.g.user = flask.request.args["user"]

    @app.get("/user")
    async def user() -> str:
        await asyncio.sleep(0.001)
        return str(flask.g.user)

    bridge = FlaskToAsgi(app)
    targets = [f"/user?user={number}".encode() for number in range(20)]
    clients = await asyncio.gather(*(fetch(bridge, target=target) for target in targets))

    assert [client.body for client in clients] == [b"%d" % number for number in range(20)]


async def test_a_root_path(app: flask.Flask) -> None:
    client = await fetch(FlaskToAsgi(app), target=b"/mount/url", root_path="/mount")

    assert client.body == b"/mount/item/7 http://localhost/mount/item/7"


@pytest.mark.parametrize("target", [b"/%ff", b"/%C3%A9", b"/item/%00", b"//", b"/?%ff=%fe"])
async def test_odd_paths_are_no_errors(app: flask.Flask, target: bytes) -> None:
    assert (await fetch(FlaskToAsgi(app), target=target)).status in {200, 308, 404}


async def test_subdomains() -> None:
    app = flask.Flask(__name__, subdomain_matching=True)
    app.config["SERVER_NAME"] = "example.com"

    @app.get("/", subdomain="<name>")
    async def view(name: str) -> str:
        return name

    client = Client()
    await FlaskToAsgi(app)(
        {**http_scope(), "headers": [(b"host", b"one.example.com")]}, client.receive, client.send
    )

    assert client.body == b"one"
