# SPDX-License-Identifier: MIT
"""Which async views are kept on threads, where what blocks in them holds up nobody else, and why.

Such a view is awaited on a loop of its request's own (see ``own_loop``), as under any WSGI server, and never
on the server's. That is asked for by the application's config, by a mark, or known of a library.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any

from ashapp.bridge.flask.attributes import attribute_of
from ashapp.bridge.placement.nonblocking import is_on_thread

if TYPE_CHECKING:
    import flask

__all__ = ["ASYNC_VIEWS", "choose", "is_kept", "keeps_all", "why_kept"]

#: The key of ``Flask.config`` for where async views run: "loop" (the default) or "thread".
ASYNC_VIEWS = "ASHAPP_ASYNC_VIEWS"

_CHOICES = ("loop", "thread")

# Packages with async views and hooks in which they call sync code of the application's: Dash makes its views
# async wherever asgiref can be imported, and then calls callbacks in them that were never written for a loop.
_SYNC_INSIDE = {"dash": "Dash calls sync callbacks in its async views"}


def choose(app: flask.Flask, place: str) -> None:
    """Let the async views of *app* run in *place*, "loop" or "thread".

    Raises:
        ValueError: *place* is neither.

    """
    app.config[ASYNC_VIEWS] = _checked(place)


def keeps_all(app: flask.Flask) -> bool:
    """Say whether all async views of *app* are kept on threads.

    Raises:
        ValueError: its config says something else than "loop" and "thread".

    """
    place = app.config.get(ASYNC_VIEWS)
    return place is not None and _checked(place) == "thread"


def is_kept(function: Any) -> bool:
    """Say whether *function*, a view or a hook, is kept on threads by itself. Quick."""
    may_be_marked = type(function) is not FunctionType or function.__dict__
    return bool(may_be_marked and is_on_thread(function)) or _package(function) in _SYNC_INSIDE


def why_kept(app: flask.Flask, endpoint: str, view: Any) -> str | None:
    """Return what keeps the *view* of *endpoint* on threads, or None."""
    if keeps_all(app):
        return f"{ASYNC_VIEWS} is 'thread'"
    if is_on_thread(view):
        return "it is marked on_thread"
    # The name of a nested blueprint begins with that of the outer one.
    parts = endpoint.split(".")[:-1]
    for name in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):
        if is_on_thread(app.blueprints.get(name)):
            return f"the blueprint {name!r} is marked on_thread"
    return _SYNC_INSIDE.get(_package(view))


def _checked(place: object) -> str:
    if place not in _CHOICES:
        raise ValueError(f"{ASYNC_VIEWS} is {place!r}: async views run on the 'loop' or on a 'thread'")
    return str(place)


def _package(function: Any) -> str:
    # Where its code is: what calls itself part of a module (``__module__``) may be in another.
    module: str = attribute_of(function, "__globals__", {}).get("__name__", "")
    return module.partition(".")[0]
