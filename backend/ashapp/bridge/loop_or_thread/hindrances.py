# SPDX-License-Identifier: MIT
"""Finds code around the views of an application that may block the event loop: then no view runs there.

Code of Flask and Werkzeug is known not to block. Hooks and error handlers don't count: Flask passes them
through ``ensure_sync``, which runs them on the request thread.
"""

import sys
from collections.abc import Iterator
from inspect import getattr_static
from itertools import chain
from types import FunctionType, MethodType
from typing import Any

from flask.app import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import Map

from ashapp.bridge.loop_or_thread.marks import is_nonblocking
from ashapp.bridge.loop_or_thread.tools import layers, tool_of, unwrapped
from ashapp.bridge.loop_or_thread.views import name_of
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["around", "binds_as_flask", "find_hindrance", "is_flasks_own", "is_original", "tools_around"]

# Methods of Flask that dispatch a request. If a subclass overrides one, its code runs where the view runs.
_DISPATCH = (
    *("__call__", "wsgi_app", "request_context", "full_dispatch_request", "preprocess_request"),
    *("dispatch_request", "finalize_request", "process_response", "handle_user_exception"),
    *("handle_http_exception", "handle_exception", "do_teardown_request", "do_teardown_appcontext"),
    *("ensure_sync", "async_to_sync", "make_response", "create_url_adapter"),
)
# Methods that also count if they are replaced on the application object. Extensions replace methods that
# handle errors, which does no harm.
_DISPATCH_ON_OBJECT = ("ensure_sync", "async_to_sync", "full_dispatch_request", "dispatch_request")
# Methods that the bridge replaces, by marked functions, unless the application or a tool has replaced them.
_REPLACED_BY_BRIDGE = ("ensure_sync", "async_to_sync", "create_url_adapter")
# The attributes in which WSGI middleware has the application that it wraps.
_WRAPPED = ("app", "wsgi_app", "application", "_app", "__wrapped__")


def find_hindrance(app: Flask) -> str | None:
    """Return the name of the part that keeps every async view of *app* off the loop, or None."""
    looks = (_overridden, _wrapped, _own_binding, _own_session, _preprocessor)
    return next(filter(None, (look(app) for look in looks)), None)


def is_original(owner: type, name: str, module: str) -> bool:
    """Say whether the method or property *name* of the class *owner* is what *module* defines.

    A tool may have replaced it before this package was imported, under the name of the original. So the place
    where the function was defined counts.
    """
    method = getattr(owner, name, None)
    return _is_defined_in(module, method.fget if isinstance(method, property) else method)


def is_flasks_own(app: Flask, name: str) -> bool:
    """Say whether all methods of Flask are its own in *app*, or have only tools around them that pass on."""
    return name not in vars(app) and not _is_overridden(app, name) and _is_passed_to(name)


def binds_as_flask(app: Flask) -> bool:
    """Say whether *app* makes the URL adapter of a request as Flask and Werkzeug do."""
    return is_flasks_own(app, "create_url_adapter") and all(
        getattr(type(app.url_map), name) is getattr(Map, name)
        and is_original(Map, name, "werkzeug.routing.map")
        for name in ("bind", "bind_to_environ")
    )


def around(app: Flask) -> Iterator[Any]:
    """Iterate the layers around Flask's ``wsgi_app`` from outside, as long as they are known to pass on."""
    wsgi_app: Any = app.wsgi_app
    while wsgi_app is not None:
        *tools, wsgi_app = layers(wsgi_app)
        yield from tools
        if type(wsgi_app) is not ProxyFix and not is_nonblocking(wsgi_app):
            break
        yield wsgi_app
        # The mark of a middleware is also about all that it wraps.
        wsgi_app = next(filter(callable, (attribute_of(wsgi_app, name) for name in _WRAPPED)), None)
    yield wsgi_app


def tools_around(app: Flask) -> list[str]:
    """Return the names of the tools that wrap *app* and only pass on, the outermost first."""
    tools = map(tool_of, (*layers(Flask.__call__), *around(app)))
    return list(dict.fromkeys(filter(None, tools)))


def _is_defined_in(module: str, method: Any) -> bool:
    if type(method) is not FunctionType or method.__globals__ is not vars(sys.modules[module]):
        return False
    # Flask 3.2 wraps methods of its own, to pass a context to them where a subclass of old does not.
    inner = getattr(method, "__wrapped__", None)
    return inner is None or _is_defined_in(module, inner)


def _is_passed_to(name: str) -> bool:
    """Say whether Flask's method *name* is the original, maybe with a tool around it that passes on."""
    return _is_defined_in("flask.app", unwrapped(getattr(Flask, name, None)))


def _is_overridden(app: Flask, name: str) -> bool:
    # By the attributes of the classes: wrapt makes another object each time that a wrapped method is read.
    return getattr_static(type(app), name, None) is not getattr_static(Flask, name, None)


def _overridden(app: Flask) -> str | None:
    for name in _DISPATCH_ON_OBJECT:
        if name in vars(app) and not is_nonblocking(vars(app)[name]):
            return f"{name} is replaced by {name_of(vars(app)[name])}"
    for name in _DISPATCH:
        if _is_overridden(app, name):
            return f"{type(app).__qualname__} overrides {name}"
    for name in _REPLACED_BY_BRIDGE:
        if not _is_passed_to(name):
            return f"{name} is replaced in flask.Flask"
    return None


def _wrapped(app: Flask) -> str | None:
    *_, wsgi_app = around(app)
    if wsgi_app is None or (type(wsgi_app) is MethodType and wsgi_app.__func__ is unwrapped(Flask.wsgi_app)):
        return None
    return f"the WSGI middleware {name_of(wsgi_app)} around wsgi_app is not marked nonblocking"


def _own_binding(app: Flask) -> str | None:
    create = vars(app).get("create_url_adapter")
    if is_nonblocking(create) or binds_as_flask(app):
        return None
    if create is not None:
        return f"create_url_adapter is replaced by {name_of(create)}"
    return f"the URL map {type(app.url_map).__qualname__} binds requests in its own way"


def _own_session(app: Flask) -> str | None:
    interface = type(app.session_interface)
    if is_nonblocking(app.session_interface) or all(
        attribute_of(interface, name) is getattr(SecureCookieSessionInterface, name)
        and name not in attribute_of(app.session_interface, "__dict__", {})
        for name in ("open_session", "save_session")
    ):
        return None
    return f"the session interface {interface.__qualname__} is not marked nonblocking"


def _preprocessor(app: Flask) -> str | None:
    for function in chain.from_iterable(app.url_value_preprocessors.values()):
        if not is_nonblocking(function):
            return f"the URL value preprocessor {name_of(function)} is not marked nonblocking"
    return None
