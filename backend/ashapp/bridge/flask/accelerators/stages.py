# SPDX-License-Identifier: MIT
"""Stages of Flask's dispatch, skipped where the application has registered nothing for them.

Where no function is registered for such a stage, and nobody listens to its signal, Flask's own code does
nothing, in a twelfth of the time that it needs for a small view. A stage that is not Flask's own is always
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

__all__ = ["is_idle", "skip_idle"]

_IS_IDLE: dict[str, Callable[[Flask], bool]] = {
    "preprocess_request": lambda app: not (app.before_request_funcs or app.url_value_preprocessors),
    "do_teardown_request": lambda app: not (app.teardown_request_funcs or request_tearing_down.receivers),
    "do_teardown_appcontext": lambda app: (
        not (app.teardown_appcontext_funcs or appcontext_tearing_down.receivers)
    ),
}
# The stages as Flask brings them; where a tool has replaced one already, nothing.
_ORIGINALS = {name: getattr(Flask, name) for name in _IS_IDLE if is_original(Flask, name, "flask.app")}


def is_idle(app: Flask, name: str) -> bool:
    """Say whether Flask's own stage *name* would be called, and do nothing."""
    return _IS_IDLE[name](app) and getattr(type(app), name) is _ORIGINALS.get(name)


def skip_idle(app: Flask, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what calls *function*, the stage *name* of *app*, while that has anything to do."""
    if not accelerators.ENABLED or name not in _ORIGINALS or name in vars(app):
        return function

    def stage(*args: Any, **kwargs: Any) -> Any:
        return None if is_idle(app, name) else function(*args, **kwargs)

    return stage
