# SPDX-License-Identifier: MIT
"""Finds views that serve a static folder just as Flask does: they need no thread while a file is sent.

Such a view is Flask's own, of the application or of a blueprint, and nothing that may block is around it:
no hook, no middleware, no session interface, no method that the application has overridden.
"""

from collections.abc import Iterator
from inspect import getattr_static
from itertools import chain
from typing import Any

from flask.app import Flask
from flask.blueprints import Blueprint

from ashapp.bridge.loop_or_thread.marks import STATIC_FILES, is_kept, is_nonblocking, keeps_on_threads
from ashapp.bridge.loop_or_thread.views import ViewKind, blueprints_of, is_async, kind_of, name_of
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["folder_of", "static_paths", "why_changed"]

# The methods by which Flask serves a static folder.
_METHODS = ("send_static_file", "get_send_file_max_age", "static_folder", "has_static_folder")


def folder_of(app: Flask, view: Any) -> Flask | Blueprint | None:
    """Return the application or the blueprint whose static folder *view* serves; None for another view."""
    if kind_of(view) is not ViewKind.STATIC:
        return None
    owner = attribute_of(view, "__self__", app)
    return owner if isinstance(owner, Flask | Blueprint) else None


def static_paths(app: Flask) -> tuple[str, ...]:
    """Return the prefixes of the paths of static files. Other paths may have the same prefix."""
    views = app.view_functions
    rules = (rule for rule in app.url_map.iter_rules() if folder_of(app, views.get(rule.endpoint)))
    return tuple(rule.rule.partition("<")[0] for rule in rules)


def why_changed(app: Flask, endpoint: str, view: Any) -> str | None:
    """Return why *view*, of a static folder, may block or differ from Flask's; None if it does neither.

    Raises:
        ValueError: the config of *app* says something other than "loop" and "thread".
    """
    if keeps_on_threads(app, STATIC_FILES):
        return f"{STATIC_FILES} is 'thread'"
    folder = folder_of(app, view)
    if folder is None:
        return f"{name_of(view)} serves no static folder"
    stock = Flask if isinstance(folder, Flask) else Blueprint
    for name in _METHODS:
        is_replaced = name in vars(folder)
        if is_replaced or getattr_static(type(folder), name, None) is not getattr_static(stock, name, None):
            return f"{type(folder).__qualname__} overrides {name}"
    hook = next((hook for hook in _hooks(app, endpoint) if _may_block(hook)), None)
    return None if hook is None else f"the hook {name_of(hook)} runs around it"


def _hooks(app: Flask, endpoint: str) -> Iterator[Any]:
    scopes = (None, *blueprints_of(endpoint))
    kinds = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    of_scopes = (by_scope.get(scope, ()) for by_scope in kinds for scope in scopes)
    return chain(chain.from_iterable(of_scopes), app.teardown_appcontext_funcs)


def _may_block(hook: Any) -> bool:
    return is_kept(hook) or not (is_async(hook) or is_nonblocking(hook))
