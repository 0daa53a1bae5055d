# SPDX-License-Identifier: MIT
from typing import Any, Literal

import pytest

from ashapp.bridge.placement.views import ViewKind
from ashapp.server.inspection.routes import Route
from ashapp.server.inspection.startup_hints import hidden, kept_off

ASYNC, SYNC, GENERATOR = ViewKind.ASYNC, ViewKind.SYNC, ViewKind.ASYNC_GENERATOR
DECORATED, OBJECT, CLASS = ViewKind.DECORATED_ASYNC, ViewKind.ASYNC_CALLABLE, ViewKind.CLASS_BASED


def route(endpoint: str, kind: ViewKind, reason: str | None = None, **fields: Any) -> Route:
    runs_on: Literal["loop", "thread"] = "thread" if reason else "loop"
    values = {"rule": f"/{endpoint}", "methods": ["GET"], "async_methods": [], **fields}
    return Route(
        domain=None, endpoint=endpoint, view=endpoint, kind=kind, runs_on=runs_on, reason=reason, **values
    )


@pytest.mark.parametrize(
    ("routes", "lines"),
    [
        ([], []),
        ([route("a", ASYNC), route("b", SYNC, "sync view"), route("c", DECORATED, "a decorator")], []),
        ([route("a", ASYNC, "a mark", own_loop=True)], []),
        ([route("a", ASYNC, "the reason")], ["1 async view runs on a thread: the reason"]),
        (
            [route("a", ASYNC, "the reason"), route("a", ASYNC, "the reason", rule="/again")],
            ["1 async view runs on a thread: the reason"],
        ),
        (
            [
                route("a", ASYNC, "the reason"),
                route("b", SYNC, "sync view"),
                route("c", GENERATOR, "the reason"),
            ],
            ["2 async views run on threads: the reason"],
        ),
    ],
)
def test_what_keeps_async_views_off_the_loop_is_one_line(routes: list[Route], lines: list[str]) -> None:
    assert kept_off(routes) == lines


@pytest.mark.parametrize(
    ("routes", "shown"),
    [
        ([], None),
        ([route("a", ASYNC), route("b", SYNC, "sync view"), route("c", CLASS, "sync view")], None),
        ([route("a", DECORATED, "a decorator")], "1 (a)"),
        ([route("b", OBJECT, "an object"), route("a", CLASS, "a class", async_methods=["GET"])], "2 (a, b)"),
        ([route("a", DECORATED, "a decorator"), route("a", DECORATED, "a decorator")], "1 (a)"),
        ([route(name, DECORATED, "a decorator") for name in "edcba"], "5 (a, b, c and 2 more)"),
    ],
)
def test_async_views_that_look_sync_are_one_line(routes: list[Route], shown: str | None) -> None:
    start = "Async views that look sync to Flask, and hold a thread while they wait: "
    end = "; to see why: ashapp routes shop:app"
    assert hidden(routes, "shop:app") == ([f"{start}{shown}{end}"] if shown else [])


def test_the_command_that_is_named_can_be_typed() -> None:
    (line,) = hidden([route("a", DECORATED, "a decorator")], 'shop:make("x")')
    assert line.endswith("ashapp routes 'shop:make(\"x\")'")
