# SPDX-License-Identifier: MIT
"""The mark of what is quick enough for the event loop."""

import inspect
from typing import TypeVar

from ashapp.bridge.attributes import attribute_of

__all__ = ["is_nonblocking", "nonblocking"]

T = TypeVar("T")

_NONBLOCKING = "_ashapp_nonblocking"


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
