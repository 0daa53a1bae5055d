# SPDX-License-Identifier: MIT
"""Known tools, such as tracers, that wrap an application and only pass requests on.

Tracers wrap ``wsgi_app``, or Flask's own methods, to take the time and the outcome of a request. They don't
wait for anything, so async views stay on the loop inside of them. Flask-SocketIO wraps ``wsgi_app`` to take
the requests of its own path; only these may block.
"""

import sys
from collections.abc import Iterator
from itertools import chain
from types import FunctionType
from typing import Any

from flask import request_started
from flask.app import Flask

from ashapp.bridge.loop_or_thread.marks import is_nonblocking, nonblocking
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["layers", "prepare", "tool_of", "unwrapped"]

_TOOLS = {
    "opentelemetry": "OpenTelemetry",
    "ddtrace": "Datadog",
    "newrelic": "New Relic",
    "sentry_sdk": "Sentry",
    "flask_socketio": "Flask-SocketIO",
}
# Hooks and signal receivers of tools that need no thread, by their modules.
_HOOKS = {
    "opentelemetry.instrumentation.flask": {"_before_request", "_teardown_request"},
    "sentry_sdk.integrations.flask": {"_request_started"},
}
# Functions of the application that a tool may call.
_CALLED = ("request_hook", "response_hook")
# Attributes, or variables of closures, in which tools keep the function that they wrap.
_INNER = ("__wrapped__", "wsgi_app", "wsgi", "old_app")


def tool_of(wrapper: Any) -> str | None:
    """Return the name of the known tool that has made *wrapper*, or None."""
    # wrapt's wrappers pose as the wrapped object: they have its attributes and its type.
    code = attribute_of(wrapper, "_self_wrapper", wrapper)
    module = _module_of(code) if type(code) is FunctionType else type(code).__module__
    tool = _TOOLS.get(str(module).partition(".")[0])
    called = (_part(wrapper, name) for name in _CALLED)
    return tool if all(function is None or is_nonblocking(function) for function in called) else None


def layers(function: Any) -> Iterator[Any]:
    """Iterate *function*, the function that it wraps if a tool has made it, and so on to the last."""
    while function is not None:
        yield function
        parts = (_part(function, name) for name in _INNER) if tool_of(function) else ()
        function = next(filter(None, parts), None)


def unwrapped(function: Any) -> Any:
    """Return the function inside all tools around *function*."""
    return list(layers(function))[-1]


def prepare(app: Flask) -> None:
    """Prepare the tools around *app* for the loop; more than once does no harm."""
    by_blueprint = (app.before_request_funcs, app.teardown_request_funcs)
    hooks = chain.from_iterable(chain.from_iterable(hooks.values()) for hooks in by_blueprint)
    for hook in chain(hooks, request_started.receivers_for(app)):
        if attribute_of(hook, "__name__") in _HOOKS.get(_module_of(hook), ()) and tool_of(hook):
            nonblocking(hook)
    # New Relic identifies a request by its greenlet if that module is loaded, else by its task. A request
    # here has several greenlets and one task. ``tests/upstream`` fails if this has no effect any more.
    traces = sys.modules.get("newrelic.core.trace_cache")
    if traces is not None:
        vars(traces.trace_cache())["greenlet"] = None


def _module_of(function: Any) -> Any:
    return attribute_of(function, "__globals__", {}).get("__name__")


def _part(wrapper: Any, name: str) -> Any:
    """Return the attribute *name* of *wrapper*, or the variable of that name if it is a closure."""
    if type(wrapper) is not FunctionType:
        return attribute_of(wrapper, name)
    cells = dict(zip(wrapper.__code__.co_freevars, wrapper.__closure__ or (), strict=True))
    return cells[name].cell_contents if name in cells else None
