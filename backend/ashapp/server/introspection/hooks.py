# SPDX-License-Identifier: MIT
"""The callables that Flask runs around views, and where each runs if the view is async."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from blinker import NamedSignal
from flask import Flask, signals

from ashapp.bridge.loop_or_thread.marks import is_kept, is_nonblocking
from ashapp.bridge.loop_or_thread.views import full_name_of, is_async, kind_of
from ashapp.server.introspection.routes import flask_application, hindrance

__all__ = ["Hook", "holders", "list_hooks"]

# Flask's decorators, and the attribute of the application that has their functions by blueprint.
_BY_BLUEPRINT = {
    "url_value_preprocessor": "url_value_preprocessors",
    "url_defaults": "url_default_functions",
    "before_request": "before_request_funcs",
    "context_processor": "template_context_processors",
    "after_request": "after_request_funcs",
    "teardown_request": "teardown_request_funcs",
}

# Hooks and signals that come before a view.
_BEFORE = {"before_request", "request_started", "appcontext_pushed"}


@dataclass(frozen=True)
class Hook:
    """A callable that Flask calls around a view.

    *hook* is the name of Flask's decorator for it, or "signal". *on* is the status code or the exception of
    an error handler, and the name of a signal. *blueprint* is None where it is for the whole application.
    *kind* is "nonblocking" for a sync callable that is marked so, else as for a view. *runs_on* is where it
    runs around an async view: a "request_thread" belongs to the request from its first sync callable on;
    a "thread" runs a whole request.
    """

    hook: str
    on: str | None
    name: str
    blueprint: str | None
    kind: str
    runs_on: Literal["loop", "request_thread", "thread"]


def list_hooks(found: object) -> list[Hook]:
    """Return the hooks of the Flask application in *found*; none for another WSGI callable.

    Flask's own hooks are left out.
    """
    app = flask_application(found)
    if app is None:
        return []
    is_native = hindrance(found) is None
    return [
        Hook(
            hook=hook,
            on=on,
            name=full_name_of(function),
            blueprint=blueprint,
            kind=_kind(function),
            runs_on=_place(function, is_native=is_native),
        )
        for hook, on, blueprint, function in _registered(app)
        if not str(getattr(function, "__module__", "")).startswith("flask.")
    ]


def holders(hooks: Iterable[Hook], endpoint: str) -> list[str]:
    """Return the hooks that make the view of *endpoint* hold a thread while it waits, by kind and name.

    They run before the view, on a thread of the request.
    """
    return [
        f"{hook.on if hook.hook == 'signal' else hook.hook} {hook.name}"
        for hook in hooks
        if hook.runs_on == "request_thread"
        and (hook.on or hook.hook) in _BEFORE
        and (hook.blueprint is None or endpoint.startswith(f"{hook.blueprint}."))
    ]


def _registered(app: Flask) -> Iterator[tuple[str, str | None, str | None, Callable[..., Any]]]:
    """Yield for each callable: its hook, the status, exception or signal, its blueprint, its function."""
    for hook, attribute in _BY_BLUEPRINT.items():
        for blueprint, functions in _application_first(getattr(app, attribute)):
            yield from ((hook, None, blueprint, function) for function in functions)
    for function in app.teardown_appcontext_funcs:
        yield "teardown_appcontext", None, None, function
    for blueprint, by_code in _application_first(app.error_handler_spec):
        for code, by_exception in by_code.items():
            for exception, function in by_exception.items():
                yield "errorhandler", str(code or exception.__name__), blueprint, function
    for signal in vars(signals).values():
        if isinstance(signal, NamedSignal):
            name = signal.name.replace("-", "_")
            yield from (("signal", name, None, function) for function in signal.receivers_for(app))


def _application_first(scopes: dict[str | None, Any]) -> Iterable[tuple[str | None, Any]]:
    return sorted(scopes.items(), key=lambda item: item[0] or "")


def _kind(function: Any) -> str:
    return "nonblocking" if is_nonblocking(function) and not is_async(function) else kind_of(function)


def _place(function: Any, *, is_native: bool) -> Literal["loop", "request_thread", "thread"]:
    if inspect.iscoroutinefunction(function) and not is_kept(function):
        return "loop"
    if not is_native:
        return "thread"
    return "loop" if is_nonblocking(function) else "request_thread"
