# SPDX-License-Identifier: MIT
"""Routing, sessions and the like, of an application whose views are async; without the accelerators, too."""

from typing import Any
from unittest.mock import patch

import flask
import pytest
from werkzeug.routing import MapAdapter

from ashapp.bridge import FlaskToAsgi
from tests.support.asgi import fetch

pytestmark = pytest.mark.usefixtures("accelerated")


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

    @app.get("/<int:number>/<path:rest>")
    async def arguments(number: int, rest: str) -> dict[str, Any]:
        return {"number": number, "rest": rest, "args": flask.request.args}

    @app.get("/url")
    async def url() -> str:
        return flask.url_for("item", number=7) + " " + flask.url_for("item", number=7, _external=True)

    return app


@pytest.mark.parametrize(
    ("method", "target", "status", "body", "headers"),
    [
        ("GET", b"/", 200, b"index", {}),
        ("HEAD", b"/", 200, b"", {"content-length": "5"}),
        ("GET", b"/directory/", 200, b"directory", {}),
        ("GET", b"/directory?a=b", 308, None, {"location": "http://localhost/directory/?a=b"}),
        ("PUT", b"/item/7", 200, b"PUT 7", {}),
        ("GET", b"/item/7", 405, None, {"allow": "DELETE, OPTIONS, PUT"}),
        ("PUT", b"/item/x", 404, None, {}),
        ("GET", b"/7/a/b?c=d", 200, b'{"args":{"c":"d"},"number":7,"rest":"a/b"}\n', {}),
        ("OPTIONS", b"/", 200, b"", {}),
        ("OPTIONS", b"/nowhere", 404, None, {}),
        ("HEAD", b"/nowhere", 404, b"", {}),
        ("GET", b"/static/nothing.css", 404, None, {}),
        ("GET", b"/url", 200, b"/item/7 http://localhost/item/7", {}),
        ("BREW", b"/", 405, None, {}),
        *(("GET", target, 404, None, {}) for target in [b"/%ff", b"/%C3%A9", b"/item/%00"]),
        ("GET", b"//", 200, b"index", {}),
        ("GET", b"/?%ff=%fe", 200, b"index", {}),
    ],
)
async def test_routes(
    app: flask.Flask,
    method: str,
    target: bytes,
    status: int,
    body: bytes | None,
    headers: dict[str, str],
    accelerated: bool,  # noqa: FBT001 - a fixture
) -> None:
    bridge = FlaskToAsgi(app)
    for _ in range(2):
        with patch.object(MapAdapter, "match", autospec=True, side_effect=MapAdapter.match) as matching:
            client = await fetch(bridge, method, target)
        assert (client.status, client.complete) == (status, True)
        assert body is None or client.body == body
        told = {name: ", ".join(sorted(client.headers[name].split(", "))) for name in headers}
        assert told == headers
        without_options = [call for call in matching.call_args_list if call.kwargs == {"return_rule": True}]
        assert len(without_options) <= (1 if accelerated else 2)


async def test_a_root_path(app: flask.Flask) -> None:
    client = await fetch(FlaskToAsgi(app), target=b"/mount/url", root_path="/mount")
    assert client.body == b"/mount/item/7 http://localhost/mount/item/7"
