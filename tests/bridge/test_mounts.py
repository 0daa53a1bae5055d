# SPDX-License-Identifier: MIT
"""ASGI applications that are mounted beside the one that is bridged."""

from typing import Any

import flask
import pytest

from ashapp import FlaskToAsgi
from ashapp.testing import AsyncClient, LifespanError, WebSocketDenied


class Mounted:
    """An ASGI application that says what it was asked, and what has become of its lifespan."""

    def __init__(self, name: str, events: list[str], failing: str = "") -> None:
        self.name = name
        self.events = events
        self.failing = failing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": self.name})
            await send({"type": "websocket.send", "text": scope["path"]})
        else:
            if scope["path"].endswith("/exit"):
                raise SystemExit(3)
            text = " ".join([self.name, scope["root_path"], scope["path"], str(scope["state"])])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text.encode()})

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        for event in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{event}"
            self.events.append(f"{event} {self.name}")
            if self.failing == f"exit at {event}":
                raise SystemExit("no luck")
            if self.failing == f"interrupt at {event}":
                raise KeyboardInterrupt("no luck")
            if event == self.failing:
                await send({"type": f"lifespan.{event}.failed", "message": "no luck"})
                return
            scope["state"]["of"] = self.name
            await send({"type": f"lifespan.{event}.complete"})


def make(mounts: dict[str, Any], events: list[str]) -> FlaskToAsgi:
    app = flask.Flask(__name__)
    app.add_url_rule("/<path:path>", view_func=lambda path: f"flask {path}")
    return FlaskToAsgi(
        app,
        mounts=mounts,
        on_startup=[lambda: events.append("startup app")],
        on_shutdown=[lambda: events.append("shutdown app")],
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/a", "one /a /a {'of': 'one'}"),
        ("/a/", "one /a /a/ {'of': 'one'}"),
        ("/a/x%2Fy", "one /a /a/x/y {'of': 'one'}"),
        ("/a/b", "two /a/b /a/b {'of': 'two'}"),
        ("/a/bc", "one /a /a/bc {'of': 'one'}"),
        ("/%C3%A9/x", "three /é /é/x {'of': 'three'}"),
        ("/ab", "flask ab"),
        ("/x/a", "flask x/a"),
    ],
)
async def test_the_longest_prefix_decides(path: str, text: str) -> None:
    mounts = {
        prefix: Mounted(name, []) for prefix, name in {"/a": "one", "/a/b": "two", "/é": "three"}.items()
    }
    async with AsyncClient(make(mounts, [])) as client:
        assert (await client.get(path)).text == text


async def test_a_prefix_follows_the_root_path() -> None:
    app = make({"/a": Mounted("one", [])}, [])

    async def below(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": "/base", "path": "/base" + scope["path"], "raw_path": None}
        await app(scope, receive, send)

    async with AsyncClient(below) as client:
        assert (await client.get("/a/x")).text == "one /base/a /base/a/x {'of': 'one'}"
        assert (await client.get("/b")).text == "flask b"


async def test_a_websocket_goes_to_its_mount() -> None:
    async with AsyncClient(make({"/a": Mounted("one", [])}, [])) as client:
        async with client.websocket("/a/x", subprotocols=["one"]) as socket:
            assert (socket.subprotocol, await socket.receive()) == ("one", "/a/x")
        with pytest.raises(WebSocketDenied):
            async with client.websocket("/b"):
                pass


async def test_lifespans_start_in_order_and_stop_in_reverse() -> None:
    events: list[str] = []
    mounts = {f"/{name}": Mounted(name, events) for name in ("one", "two")}

    async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await Mounted("three", events)(scope, receive, send)

    async with AsyncClient(make({**mounts, "/three": without_lifespan}, events)) as client:
        assert (await client.get("/three")).text == "three /three /three {}"
        assert events == ["startup one", "startup two", "startup app"]
    assert events[3:] == ["shutdown app", "shutdown two", "shutdown one"]


async def test_an_application_at_several_prefixes_has_one_lifespan() -> None:
    events: list[str] = []
    one = Mounted("one", events)
    async with AsyncClient(make({"/a": one, "/b": one}, events)) as client:
        for prefix in ("/a", "/b"):
            assert (await client.get(prefix)).text == f"one {prefix} {prefix} {{'of': 'one'}}"
    assert events == ["startup one", "startup app", "shutdown app", "shutdown one"]


@pytest.mark.parametrize(
    "failing", ["startup", "shutdown", "exit at startup", "exit at shutdown", "interrupt at shutdown"]
)
async def test_a_lifespan_that_fails_is_told_with_its_mount(failing: str) -> None:
    events: list[str] = []
    app = make({"/a": Mounted("one", events), "/b": Mounted("two", events, failing)}, events)
    with pytest.raises(LifespanError, match=r"failed: LifespanError: mount /b: (\w+: )?no luck"):
        async with AsyncClient(app):
            pass
    assert "shutdown one" in events  # what had started has been stopped
    assert ("startup app" in events) is failing.endswith("shutdown")


async def test_a_mount_can_not_end_the_service() -> None:
    async with AsyncClient(make({"/a": Mounted("one", [])}, [])) as client:
        with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
            await client.get("/a/exit")
        assert (await client.get("/a")).status_code == 200


@pytest.mark.parametrize("prefix", ["", "/", "mcp", "/mcp/", "//mcp", "/m?x", "/m x"])
def test_a_wrong_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="with a slash before and none after it"):
        make({prefix: Mounted("one", [])}, [])


def test_what_can_not_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="mount '/mcp': expected an ASGI application, got 'package:app'"):
        make({"/mcp": "package:app"}, [])
