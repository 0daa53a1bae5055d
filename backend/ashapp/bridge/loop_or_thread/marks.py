# SPDX-License-Identifier: MIT
"""Marks, and keys of the config, by which an application says where its code may run."""

import inspect
from functools import lru_cache, partial
from types import FunctionType
from typing import Any, TypeVar

from flask.app import Flask

from ashapp.bridge.messages.attributes import attribute_of

__all__ = [
    "ASYNC_VIEWS",
    "STATIC_FILES",
    "is_kept",
    "is_nonblocking",
    "is_on_thread",
    "keeps_on_threads",
    "nonblocking",
    "on_thread",
    "why_it_blocks",
]

#: The keys of ``Flask.config``: where async views run, and where static files are sent.
ASYNC_VIEWS, STATIC_FILES = "ASHAPP_ASYNC_VIEWS", "ASHAPP_STATIC_FILES"

T = TypeVar("T")

_NONBLOCKING = "_ashapp_nonblocking"
_ON_THREAD = "_ashapp_on_thread"

# Packages whose async views call sync code of the application. Dash makes its views async wherever asgiref
# can be imported, and calls callbacks in them that were never written for a loop.
_BLOCKING_PACKAGES = {"dash": "Dash calls sync callbacks in its async views"}


def nonblocking(function: T) -> T:
    """Mark something as quick, so that it may run on the event loop, around an async view.

    *function* is a sync hook, error handler or signal receiver. Without the mark it runs on a thread, which
    costs more than a quick function takes. Or *function* keeps async views off the loop: a WSGI middleware
    (function, object or class), a session interface (object or class), the class of a URL converter, a
    ``url_value_preprocessor``. Or it is a handler of Flask-Sock that waits for nothing but its WebSocket: it
    holds no thread then.

    Marked code must not wait for anything: it would delay all other requests of the worker.
    """
    setattr(getattr(function, "__func__", function), _NONBLOCKING, True)  # of a bound method, its function
    return function


def is_nonblocking(function: object) -> bool:
    """Say whether *function* may run on the loop. Flask's own context processor may."""
    return (
        attribute_of(function, _NONBLOCKING, default=False)
        or inspect.isasyncgenfunction(function)
        or attribute_of(function, "__module__") == "flask.templating"
    )


def on_thread(target: T) -> T:
    """Keep async code on threads, because it blocks: there it delays no other request.

    *target* is a view, the class of views, a blueprint with all its views, or a hook. It may be used below or
    above a decorator that registers a view. Marked code is awaited on an event loop of its request alone, as
    under any WSGI server. So it can't use a client or a pool that belongs to the server's loop, such as one
    from the lifespan. The request holds a thread meanwhile.
    """
    setattr(getattr(target, "__func__", target), _ON_THREAD, True)  # of a bound method, its function
    return target


def is_on_thread(target: object) -> bool:
    """Say whether *target*, or the class of views that it was made of, is marked ``on_thread``."""
    while isinstance(target, partial):
        target = target.func
    view_class = attribute_of(target, "view_class")
    return bool(attribute_of(target, _ON_THREAD) or attribute_of(view_class, _ON_THREAD))


def keeps_on_threads(app: Flask, key: str) -> bool:
    """Say whether the *key* of *app*'s config is "thread". The default is "loop".

    Raises:
        ValueError: its config says something other than "loop" and "thread".
    """
    place = app.config.get(key)
    if place not in {None, "loop", "thread"}:
        raise ValueError(f"{key} is {place!r}: expected 'loop' or 'thread'")
    return place == "thread"


def is_kept(function: Any) -> bool:
    """Say whether *function*, a view or a hook, has to stay on threads whatever is around it. Quick."""
    if type(function) is FunctionType and not function.__dict__:  # which is not marked
        return _why_module_blocks(function.__globals__.get("__name__", "")) is not None
    return is_on_thread(function) or why_it_blocks(function) is not None


def why_it_blocks(function: Any) -> str | None:
    """Return why *function* blocks, if it is of a package that is known to block, or None."""
    # The globals tell where the code is; ``__module__`` may have been set to the name of another module.
    return _why_module_blocks(attribute_of(function, "__globals__", {}).get("__name__", ""))


@lru_cache(maxsize=1024)
def _why_module_blocks(module: str) -> str | None:
    return _BLOCKING_PACKAGES.get(module.partition(".")[0])
