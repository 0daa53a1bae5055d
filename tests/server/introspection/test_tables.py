# SPDX-License-Identifier: MIT
import io
import re
from typing import Any, Literal

import pytest

from ashapp.bridge.loop_or_thread.views import ViewKind
from ashapp.server.introspection.hooks import Hook
from ashapp.server.introspection.report import Report
from ashapp.server.introspection.routes import Route
from ashapp.server.introspection.tables import print_report

LONG = "/shops/<int:shop_number>/orders/<uuid:order>/items/<any('new', 'used', '[red]'):state>"

SYNC, ASYNC = ViewKind.SYNC, ViewKind.ASYNC
CLASS, DECORATED = ViewKind.CLASS_BASED, ViewKind.DECORATED_ASYNC


def route(endpoint: str, kind: ViewKind, reason: str | None = None, **fields: Any) -> Route:
    values: dict[str, Any] = {"rule": f"/{endpoint}", "domain": None, "methods": ["GET"], **fields}
    runs_on: Literal["loop", "thread"] = "thread" if reason else "loop"
    values = {"view": endpoint, "async_methods": [], "runs_on": runs_on, "reason": reason, **values}
    return Route(endpoint=endpoint, kind=kind, **values)


REPORT = Report(
    target="shop:app",
    flask=True,
    reason=None,
    routes=[
        route("index", SYNC, "sync view", rule="/", methods=["GET", "HEAD", "OPTIONS"]),
        route("wait", ASYNC, methods=["GET", "POST"]),
        route("item", CLASS, "a class", domain="admin", methods=[], async_methods=["GET", "PUT"]),
        route("items", DECORATED, "a decorator", rule=LONG),
        route("x", DECORATED, "a decorator"),
        route("held", ASYNC, held_by=["one a", "two b"]),
        route("kept", ASYNC, "a mark", own_loop=True),
        route("page", SYNC, "sync view", own_loop=True),
        route("chat", SYNC, "sync view", websocket=True),
    ],
    hooks=[
        Hook("before_request", None, "shop.load_user", None, "sync", "request_thread"),
        Hook("errorhandler", "404", "shop.not_found", "orders", "nonblocking", "loop"),
    ],
    tools=["Flask-SocketIO", "Sentry"],
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(report: Report = REPORT, file: io.StringIO | None = None) -> list[str]:
    file = file or io.StringIO()
    print_report(report, file)
    return file.getvalue().splitlines()


def test_each_rule_and_each_hook_is_a_row() -> None:
    rows = [re.split(r"  +", line.strip()) for line in printed()]
    expected = [
        ["Rule", "Methods", "Endpoint", "View", "Runs on"],
        ["/", "GET", "index", "sync", "thread"],
        ["/wait", "GET, POST", "wait", "async", "loop"],
        ["admin|/item", "item", "class-based (async GET, PUT)", "thread [1]"],
        ["/held", "GET", "held", "async", "loop [3]"],
        ["/kept", "GET", "kept", "async", "thread [4]"],
        ["/page", "GET", "page", "sync", "thread"],
        ["/chat", "WebSocket", "chat", "sync", "thread"],
        ["/x", "GET", "x", "decorated async", "thread [2]"],
        ["[1] a class"],
        ["[2] a decorator"],
        ["[3] holds a thread while it waits, as these are sync: one a, two b"],
        ["[4] a mark (on an event loop of its own)"],
        ["Hooks, and where they run around an async view (request_thread: of its own)"],
        ["Hook", "Name", "Scope", "Kind", "Runs on"],
        ["before_request", "shop.load_user", "app", "sync", "request_thread"],
        ["errorhandler 404", "shop.not_found", "blueprint orders", "nonblocking", "loop"],
        ["Rules: 9, of them 2 on the loop and 7 on threads."],
        ["Around them, and known to pass on without waiting: Flask-SocketIO, Sentry."],
        ["A WebSocket on a thread holds one of --websocket-threads until it is closed."],
    ]
    assert [row for row in expected if row not in rows] == []


def test_away_from_a_terminal_nothing_is_folded_or_coloured() -> None:
    lines = printed()
    assert any(line.startswith(f"{LONG}  ") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_what_is_too_long_for_a_terminal_is_folded_and_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = printed()
    assert max(map(len, lines)) <= 80
    first = next(number for number, line in enumerate(lines) if line.startswith("/shops"))
    rule = ""
    for line in lines[first:]:
        if line.startswith("/x"):
            break
        rule += line.partition("  ")[0].strip()
    assert rule.replace(" ", "") == LONG.replace(" ", "")


def test_a_terminal_has_colours_and_all_its_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    lines = printed(file=Terminal())
    assert any("\x1b[32mloop" in line for line in lines)
    assert any(LONG in line for line in lines)


def test_where_there_are_no_hooks_nothing_is_said_of_them_and_the_reason_is_the_last_word() -> None:
    lines = printed(Report("shop:app", flask=True, reason="the reason", routes=REPORT.routes, hooks=[]))
    assert "Hooks" not in "\n".join(lines)
    assert lines[-1] == "No async view can run on the loop: the reason."
