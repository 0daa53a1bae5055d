# SPDX-License-Identifier: MIT
"""Functions of each kind, for any place where Flask calls one, that note where they run."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import flask
import pytest

from ashapp.bridge import nonblocking
from tests.support.journal import Journal

__all__ = [
    "HOOKS",
    "Oops",
    "add_handler",
    "add_view",
    "kinds",
    "noting",
    "of_kind",
    "sync_and_async",
    "views",
]

KINDS = ["sync", "async", "nonblocking"]
kinds = pytest.mark.parametrize("kind", KINDS)
sync_and_async = pytest.mark.parametrize("kind", ["sync", "async"])
views = pytest.mark.parametrize("view_kind", ["async", "sync"])

# Registered on an application or on a blueprint, in the order in which Flask calls them.
HOOKS: dict[str, Callable[[Any, Any], object]] = {
    "before": lambda where, hook: where.before_request(hook),
    "context": lambda where, hook: where.context_processor(hook),
    "after": lambda where, hook: where.after_request(hook),
    "teardown": lambda where, hook: where.teardown_request(hook),
    "app teardown": lambda where, hook: getattr(where, "app", where).teardown_appcontext(hook),
    "handler": lambda where, hook: where.register_error_handler(ZeroDivisionError, hook),
}


class Oops(Exception):  # noqa: N818
    pass


def of_kind(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function* as one of that *kind*."""

    async def coroutine_function(*args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return function(*args, **kwargs)

    def sync_function(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return (
        coroutine_function
        if kind == "async"
        else nonblocking(sync_function)
        if kind == "nonblocking"
        else sync_function
    )


def noting(journal: Journal, name: str, kind: str) -> Callable[..., Any]:
    """Return a function for any place; it returns what Flask expects there."""

    def function(given: Any = None, **kwargs: Any) -> Any:
        journal.note(name, kwargs.get("exception", given))
        if name == "handler":
            return flask.render_template_string("handled")
        return {} if name == "context" else given if isinstance(given, flask.Response) else None

    return of_kind(kind, function)


def add_view(where: Any, journal: Journal, kind: str = "async", error: type[Exception] | None = None) -> None:
    def view() -> str:
        journal.note("view")
        if error is not None:
            raise error
        flask.flash("flashed")
        return flask.render_template_string("hello")

    where.add_url_rule("/", "view", of_kind(kind, view))


def add_handler(where: Any, error: type[Exception] | int, kind: str, journal: Journal) -> None:
    def handle(error: Exception) -> flask.typing.ResponseReturnValue:
        journal.note("handler", error)
        journal.note("handled", sys.exception())
        return "handled", 418

    where.register_error_handler(error, of_kind(kind, handle))
