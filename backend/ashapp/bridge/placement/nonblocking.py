# SPDX-License-Identifier: MIT
"""The marks of what is quick enough for the event loop, and of what may never run there."""

import inspect
from functools import partial
from typing import TypeVar

from ashapp.bridge.flask.attributes import attribute_of

__all__ = ["is_nonblocking", "is_on_thread", "nonblocking", "on_thread"]

T = TypeVar("T")

_NONBLOCKING = "_ashapp_nonblocking"
_ON_THREAD = "_ashapp_on_thread"


def nonblocking(function: T) -> T:
    """Mark something as quick, so that it may run on the loop itself, around an async view.

    That is a sync function: a hook, an error handler, a receiver of a signal. Without the mark it runs on a
    thread, which costs more than a quick function takes. Or it is what keeps async views off the loop
    else: a WSGI middleware (function, object or class), a session interface (object or class), the class
    of a URL converter, a ``url_value_preprocessor``.

    What is marked must not wait for anything: it would hold up every other request of the worker.
    """
    setattr(getattr(function, "__func__", function), _NONBLOCKING, True)  # of a bound method, its function
    return function


def is_nonblocking(function: object) -> bool:
    """Say whether *function* may run on the loop; Flask's own context processor may."""
    return (
        attribute_of(function, _NONBLOCKING, default=False)
        or inspect.isasyncgenfunction(function)
        or attribute_of(function, "__module__") == "flask.templating"
    )


def on_thread(target: T) -> T:
    """Keep async code on threads, because it blocks: it holds up no other request there.

    *target* is a view, the class of views, a blueprint with all its views, or a hook. Under a decorator that
    registers a view, this comes below it or above it. What is marked is awaited on an event loop of its
    request's own, as under any WSGI server, so a client or a pool that belongs to the server's loop, as from
    the lifespan, can't be used in it. A request holds a thread meanwhile.
    """
    setattr(getattr(target, "__func__", target), _ON_THREAD, True)  # of a bound method, its function
    return target


def is_on_thread(target: object) -> bool:
    """Say whether *target* is marked to be kept on threads; a view is, where its class is."""
    while isinstance(target, partial):
        target = target.func
    view_class = attribute_of(target, "view_class")
    return bool(attribute_of(target, _ON_THREAD) or attribute_of(view_class, _ON_THREAD))
