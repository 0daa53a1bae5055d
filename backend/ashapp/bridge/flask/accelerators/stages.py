# SPDX-License-Identifier: MIT
"""Stages of Flask's dispatch, skipped where the application has registered nothing for them.

Where no function is registered for such a stage, and nobody listens to its signal, Flask's own code does
nothing. That takes it a twelfth of the time of a small view. A stage that is not Flask's own is always
called, whether it is replaced on the object, in a subclass or in ``Flask`` itself, at any time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import appcontext_tearing_down, request_tearing_down
from flask.app import Flask

from ashapp.bridge.flask import accelerators
from ashapp.bridge.placement.hindrances import is_original

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["nothing_after_context", "nothing_after_request", "nothing_before", "skip_idle"]


def nothing_before(app: Flask) -> bool:
    """Say whether *app* has no function to be called before a view."""
    return not (app.before_request_funcs or app.url_value_preprocessors)


def nothing_after_request(app: Flask) -> bool:
    """Say whether *app* has no function to be called at the end of a request, and no receiver."""
    return not (app.teardown_request_funcs or request_tearing_down.receivers)


def nothing_after_context(app: Flask) -> bool:
    """Say whether *app* has no function to be called at the end of a context, and no receiver."""
    return not (app.teardown_appcontext_funcs or appcontext_tearing_down.receivers)


_IS_IDLE: dict[str, Callable[[Flask], bool]] = {
    "preprocess_request": nothing_before,
    "do_teardown_request": nothing_after_request,
    "do_teardown_appcontext": nothing_after_context,
}
# The stages as Flask brings them; where a tool has replaced one already, nothing.
_ORIGINALS = {name: getattr(Flask, name) for name in _IS_IDLE if is_original(Flask, name, "flask.app")}


def skip_idle(app: Flask, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls *function*, the stage *name* of *app*, while that has anything to do."""
    original, is_idle, kind = _ORIGINALS.get(name), _IS_IDLE[name], type(app)
    if not accelerators.ENABLED or original is None or name in vars(app):
        return function

    def stage(*args: Any, **kwargs: Any) -> Any:
        if is_idle(app) and getattr(kind, name) is original:
            return None
        return function(*args, **kwargs)

    return stage
