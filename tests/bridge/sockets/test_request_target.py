# SPDX-License-Identifier: MIT
"""Rule 4: paths and queries, byte for byte, and what of them belongs to the root path."""

import json
from typing import Any

import pytest
from flask import Flask, request

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.messages.types import Receive, Scope, Send
from tests.support.adapters import Adapter, stock_fails, stock_passes
from tests.support.applications.environ import describe, read_environ
from tests.support.client import fetch
from tests.support.server import Serve, on_every_server, serving

# The target on the wire, PATH_INFO and QUERY_STRING.
TARGETS = [
    ("/caf%E9", "/caf\xe9", ""),
    ("/%FF%FE/%80", "/\xff\xfe/\x80", ""),
    ("/%C3%A9%E9", "/\xc3\xa9\xe9", ""),
    ("/%E2%82", "/\xe2\x82", ""),
    ("/%ED%A0%80", "/\xed\xa0\x80", ""),
    ("/%EF%BF%BD", "/\xef\xbf\xbd", ""),
]


@stock_fails("bytes that are not UTF-8 become U+FFFD", everywhere=True)
@pytest.mark.parametrize(("target", "path", "query"), TARGETS[:-1])
def test_a_path_that_is_not_utf_8_passes_byte_for_byte(
    serve: Serve, adapter: Adapter, target: str, path: str, query: str
) -> None:
    """Rule 4."""
    environ = read_environ(serve, adapter, target)
    assert environ["PATH_INFO"] == path
    assert environ.get("REQUEST_URI", target) == target


ORDINARY_TARGETS = [
    *TARGETS[-1:],
    ("/%C3%A9?q=%C3%A9", "/\xc3\xa9", "q=%C3%A9"),
    ("/?q=%FF", "/", "q=%FF"),
    ("/a%2Fb", "/a/b", ""),
    ("/a%00b%0A%3F%23?%00", "/a\x00b\n?#", "%00"),
    ("/a+b?c+d", "/a+b", "c+d"),
    ("/%", "/%", ""),
    ("/%zz%4", "/%zz%4", ""),
    ("//evil/x", "//evil/x", ""),
    ("/a//b/./../c", "/a//b/./../c", ""),
    ("/" + "x" * 8000, "/" + "x" * 8000, ""),
    ("/?" + "x" * 8000, "/", "x" * 8000),
    ("*", "*", ""),
]


@stock_passes(everywhere=True)
@pytest.mark.parametrize(("target", "path", "query"), ORDINARY_TARGETS)
def test_a_path_passes_byte_for_byte(
    serve: Serve, adapter: Adapter, target: str, path: str, query: str
) -> None:
    """Rule 4. Stock asgiref does so where the path is UTF-8."""
    environ = read_environ(serve, adapter, target)
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == (path, query)
    assert environ.get("REQUEST_URI", target) == target


def test_an_absolute_target_is_reduced_to_its_path(serve: Serve) -> None:
    """Rule 4. uvicorn's work with httptools; with h11 it leaves scheme and host in the path."""
    environ = read_environ(serve, WsgiToAsgi, "http://example.com/x?y")
    assert (environ["PATH_INFO"], environ["REQUEST_URI"]) == ("/x", "/x?y")


@on_every_server
@pytest.mark.parametrize("target", ["/caf\xe9", "/caf\xc3\xa9", "/?q=\xe9", "/\xff?\xfe", "/\x80"])
def test_bytes_above_ascii_in_the_target_are_no_error_of_the_server(serve: Serve, target: str) -> None:
    """Rule 4. The parsers refuse them before any application sees them; 500 it must not be."""
    assert fetch(serve(WsgiToAsgi(describe)), target).status == 400


@stock_fails("the path that Flask sees has U+FFFD in it", FlaskToAsgi)
def test_flask_gets_odd_paths_and_queries(serve: Serve, adapter: Adapter) -> None:
    """Rule 4, with Flask's routing; bytes that are not UTF-8 are replaced there, never an error."""
    app = Flask(__name__)

    @app.route("/<path:path>")
    def view(path: str) -> dict[str, Any]:
        return {"path": path, "q": request.args.get("q"), "raw": request.environ["PATH_INFO"]}

    address = serve(adapter(app))
    response = fetch(address, "/caf%E9/%C3%A9?q=%FF%C3%A9")
    assert json.loads(response.body) == {
        "path": "caf\ufffd/\xe9",
        "q": "%FF\xe9",
        "raw": "/caf\xe9/\xc3\xa9",
    }


class RootPath:
    """Serves an application below *root_path*, as a server does that is told so."""

    def __init__(self, application: Any, root_path: str) -> None:
        self._application = application
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._application({**scope, "root_path": self._root_path}, receive, send)


@stock_fails("a root path is taken for a prefix of any path that begins with the same letters")
@pytest.mark.parametrize("target", ["/apiv2/x", "/api-x"])
def test_a_root_path_is_not_stripped_inside_a_segment(serve: Serve, adapter: Adapter, target: str) -> None:
    """Rule 4."""
    environ = read_environ(serve, lambda app: RootPath(adapter(app), "/api"), target)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", target)


@stock_passes()
@pytest.mark.parametrize(
    ("target", "path"), [("/api/x", "/x"), ("/api", ""), ("/api/", "/"), ("/api//", "//")]
)
def test_a_root_path_is_stripped_at_a_slash(serve: Serve, adapter: Adapter, target: str, path: str) -> None:
    """Rule 4."""
    environ = read_environ(serve, lambda app: RootPath(adapter(app), "/api"), target)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api", path)


@pytest.mark.parametrize("http", ["httptools", "h11"])
@pytest.mark.parametrize(("root_path", "script_name"), [("/api", "/api"), ("/api/", "/api"), ("/", "")])
def test_the_root_path_of_the_server_may_end_in_a_slash(http: str, root_path: str, script_name: str) -> None:
    """Rule 4. uvicorn joins the two as they are. Stock asgiref has no REQUEST_URI to compare."""
    app = Flask(__name__)
    app.add_url_rule("/x", view_func=lambda: {"url": request.url, "uri": request.environ["REQUEST_URI"]})
    with serving(FlaskToAsgi(app), root_path=root_path, http=http) as address:
        response = fetch(address, "/x")
    assert response.status == 200
    uri = f"{script_name}/x"
    assert json.loads(response.body) == {"url": f"http://localhost{uri}", "uri": uri}
