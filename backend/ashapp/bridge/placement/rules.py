# SPDX-License-Identifier: MIT
"""Where each view of a Flask application runs, on the loop or on a thread, and why.

A view runs on the loop if it is a coroutine function, or an ``async def`` with ``yield``, if it is not kept
on threads (see ``thread_views``), and if nothing around it that is not Flask's own could block the loop. What
could is looked for once for each view, and named in the reason. Hooks, handlers and the like are no
hindrance: Flask passes them through ``ensure_sync``, and so they are run on a request thread (see
``request_threads``).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MethodType
from typing import Any

from flask.app import Flask
from flask.sessions import SecureCookieSessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from ashapp.bridge.flask.accelerators.matching import UrlAdapters
from ashapp.bridge.flask.attributes import attribute_of
from ashapp.bridge.flask.originals import is_original
from ashapp.bridge.placement.converters import guard_converters, may_block
from ashapp.bridge.placement.nonblocking import is_nonblocking
from ashapp.bridge.placement.thread_views import ASYNC_VIEWS, keeps_all, why_kept
from ashapp.bridge.placement.views import ViewKind, async_methods, is_async, kind_of, name_of, sync_decorators

__all__ = ["Place", "Placement"]

# Methods of Flask that are the dispatch: what a subclass makes of them runs where the dispatch runs.
_DISPATCH = (
    "__call__",
    "wsgi_app",
    "request_context",
    "full_dispatch_request",
    "preprocess_request",
    "dispatch_request",
    "finalize_request",
    "process_response",
    "handle_user_exception",
    "handle_http_exception",
    "handle_exception",
    "do_teardown_request",
    "do_teardown_appcontext",
    "ensure_sync",
    "async_to_sync",
    "make_response",
    "create_url_adapter",
)

# Those of them that count if they are replaced on the application object. (Extensions replace those that
# handle errors, which do no harm; others the bridge replaces itself.)
_DISPATCH_ON_OBJECT = ("full_dispatch_request", "dispatch_request")

# Those that the bridge replaces, unless a tool has done so for all applications.
_REPLACED_BY_BRIDGE = ("ensure_sync", "async_to_sync", "create_url_adapter")

# The reason for most views.
_SYNC = "sync view"

# Where WSGI middleware has the application that it wraps.
_WRAPPED = ("app", "wsgi_app", "application", "_app", "__wrapped__")


@dataclass(frozen=True)
class Place:
    """Where a view runs; *reason* says why it is a thread, and is empty for the loop.

    *own_loop* says that the coroutines of its requests are kept off the server's loop, as they may block.
    """

    on_loop: bool
    reason: str = ""
    own_loop: bool = False

    @property
    def isolated(self) -> bool:
        """Whether each request has thread-local values of its own, as its view is awaited on a loop."""
        return self.own_loop and self.reason != _SYNC


class Placement:
    """Decides for the views of *app*; remembers it until the view or the application changes."""

    def __init__(self, app: Flask) -> None:
        #: A method of the dispatch that the application has replaced on the object, and that was left to it.
        self.kept: str | None = None
        self._app = app
        self._places: dict[str, tuple[Any, Place]] = {}
        self._moved: dict[str, Place] = {}
        self._known = 0
        self._has_async_views = False
        #: Whether a URL converter may block: see ``converters``.
        self.guarded = False
        self._around: tuple[Any, ...] = ()
        self._hindrance: str | None = None

    def may_be_on_loop(self) -> bool:
        """Say whether there is any view for which it is worth asking. Quick."""
        app = self._app
        if self._known != len(app.view_functions):
            self._known = len(app.view_functions)
            self._places.clear()
            self.guarded = guard_converters(app.url_map)
            self._has_async_views = any(map(is_async, app.view_functions.values()))
        if not self._has_async_views:
            return False
        around = (
            vars(app).get("wsgi_app"),
            app.session_interface,
            len(app.url_value_preprocessors),
            app.config.get(ASYNC_VIEWS),
        )
        if around != self._around:
            self._around = around
            self._places.clear()
            self._hindrance = self.hindrance()
        return self._hindrance is None

    def hindrance(self) -> str | None:
        """Return what keeps every async view off the loop, by name, or None."""
        if keeps_all(self._app):
            return f"{ASYNC_VIEWS} is 'thread'"
        if self.kept is not None:
            return f"{self.kept} is replaced on the application object"
        return _hindrance(self._app)

    def of(self, endpoint: str) -> Place:
        """Return where the view of *endpoint* runs. From any thread."""
        moved = self._moved.get(endpoint)
        if moved is not None:
            return moved
        view = self._app.view_functions.get(endpoint)
        known, place = self._places.get(endpoint, (None, None))
        if place is None or known is not view:
            self.may_be_on_loop()
            place = self._decide(endpoint, view)
            self._places[endpoint] = (view, place)
        return place

    def move(self, endpoint: str, reason: str) -> None:
        """Keep the view of *endpoint* on threads from now on, with a loop of its own. From any thread."""
        self._moved[endpoint] = Place(on_loop=False, reason=reason, own_loop=True)

    def move_back(self, endpoint: str) -> None:
        """Let the view of *endpoint* run where it would have been, had it not been moved. From any thread."""
        self._moved.pop(endpoint, None)

    def _decide(self, endpoint: str, view: Any) -> Place:
        kept = why_kept(self._app, endpoint, view)
        reason = kept
        if not is_async(view):
            sync = _why_sync(view)
            reason = sync if kept is None or sync == _SYNC else kept
        elif kept is None:
            reason = self._hindrance or self._own_converter(endpoint)
        return Place(on_loop=not reason, reason=reason or "", own_loop=kept is not None)

    def _own_converter(self, endpoint: str) -> str | None:
        rules = (rule for rule in self._app.url_map.iter_rules() if rule.endpoint == endpoint)
        name = next(filter(None, map(may_block, rules)), None)
        return f"the URL converter {name!r} is not marked nonblocking" if name is not None else None


def _why_sync(view: Any) -> str:
    kind = kind_of(view)
    if kind is ViewKind.NONE:
        return "there is no view function"
    if kind is ViewKind.CLASS_BASED and async_methods(view):
        return f"Flask calls the class-based view {view.view_class.__qualname__} through a sync function"
    if kind is ViewKind.DECORATED_ASYNC:
        names = sync_decorators(view)
        decorators = "decorator" if len(names) == 1 else "decorators"
        return f"the sync {decorators} {', '.join(names)} in front of the async view"
    if kind is ViewKind.ASYNC_CALLABLE:
        return f"{name_of(view)} is an object, whose async __call__ Flask does not see"
    return _SYNC


def _hindrance(app: Flask) -> str | None:
    """Return what keeps every async view of *app* off the loop, or None."""
    return _overridden(app) or _wrapped(app) or _own_binding(app) or _own_session(app) or _preprocessor(app)


def _overridden(app: Flask) -> str | None:
    for name in _DISPATCH:
        if getattr(type(app), name, None) is not getattr(Flask, name, None):
            return f"{type(app).__qualname__} overrides {name}"
    for name in _REPLACED_BY_BRIDGE:
        if not is_original(Flask, name, "flask.app"):
            return f"{name} is replaced in flask.Flask"
    for name in _DISPATCH_ON_OBJECT:
        if name in vars(app):
            return f"{name} is replaced by {name_of(vars(app)[name])}"
    return None


def _wrapped(app: Flask) -> str | None:
    wsgi_app: Any = app.wsgi_app
    while type(wsgi_app) is ProxyFix or is_nonblocking(wsgi_app):
        found = (attribute_of(wsgi_app, name) for name in _WRAPPED)
        wsgi_app = next(filter(callable, found), None)
    if wsgi_app is None or (type(wsgi_app) is MethodType and wsgi_app.__func__ is Flask.wsgi_app):
        return None  # what a marked middleware hides is up to who has marked it
    return f"the WSGI middleware {name_of(wsgi_app)} around wsgi_app is not marked nonblocking"


def _own_binding(app: Flask) -> str | None:
    create = vars(app).get("create_url_adapter")
    if isinstance(getattr(create, "__self__", None), UrlAdapters) or UrlAdapters.applies_to(app):
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
    for functions in app.url_value_preprocessors.values():
        for function in functions:
            if not is_nonblocking(function):
                return f"the URL value preprocessor {name_of(function)} is not marked nonblocking"
    return None
