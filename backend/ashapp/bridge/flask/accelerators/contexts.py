# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Flask's context of a request, made, entered and left without what has nothing to do.

Theory of operation. ``Flask.request_context`` gives a context that has all that Flask's has. ``push`` and
``pop`` do what Flask's do, in the same order, where it is the first on its context variables: as in each call
by a server. All else is left to Flask's own: a context that is pushed twice, or within another one, and a
request with functions to call at its end, or with files to close.

Flask 3.1.3 has this shape. Releases that have another one, and applications with methods of their own here,
get Flask's own contexts.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar

import flask.ctx
from flask import appcontext_popped, appcontext_pushed, appcontext_tearing_down, request_tearing_down
from flask.app import Flask
from flask.ctx import AppContext
from flask.wrappers import Request
from werkzeug.datastructures import EnvironHeaders
from werkzeug.exceptions import HTTPException
from werkzeug.sansio.request import Request as SansIoRequest

from ashapp.bridge.flask.accelerators.originals import AllOriginals, AsReplaced, Originals
from ashapp.bridge.flask.accelerators.requests import make_request
from ashapp.bridge.flask.accelerators.responses import RESPONSE_CLASSES
from ashapp.bridge.flask.accelerators.sessions import SESSION_CLASSES, Sessions
from ashapp.bridge.loop_or_thread.marks import nonblocking
from ashapp.bridge.messages.types import Environ

if TYPE_CHECKING:
    from flask.ctx import RequestContext
else:  # Flask 3.2 has merged both classes of contexts
    RequestContext = vars(flask.ctx).get("RequestContext", AppContext)

__all__ = ["DISPATCH", "REQUEST_CONTEXT", "Contexts"]

#: Those of the application whose work is done here, or left out, or done by ``Dispatching``.
DISPATCH = Originals(
    Flask,
    "app_context preprocess_request dispatch_request finalize_request make_response process_response "
    "do_teardown_request do_teardown_appcontext",
    0x762BEB48,
)
#: What makes the contexts.
REQUEST_CONTEXT = Originals(Flask, "request_context", 0xDBFDE669)
_CLASSES = AllOriginals(
    Originals(RequestContext, "__init__ push pop", 0x03F6A79F),
    Originals(AppContext, "__init__ push pop", 0xE7B75E05),
    Originals(Request, "__init__ close", 0x4F35B9D5, "werkzeug.wrappers.request"),
    Originals(SansIoRequest, "__init__", 0x0FDE538F),
    Originals(EnvironHeaders, "__init__", 0x6A41762F),
    *SESSION_CLASSES.groups,
    *RESPONSE_CLASSES,
)
_cv_app: ContextVar[Any] = flask.globals._cv_app
_cv_request: ContextVar[Any] = vars(flask.globals).get("_cv_request", _cv_app)


class Contexts:
    """Makes the contexts of requests of *app*, whose methods the bridge replaces by *replacements*."""

    def __init__(self, app: Flask, replacements: Mapping[str, Callable[..., Any]]) -> None:
        #: What opens their sessions.
        self.sessions = Sessions(app)
        self._app = app
        self._make = app.request_context
        self._methods = AsReplaced(app, replacements, DISPATCH)
        #: Whether Flask's own contexts are known, and the application has no others.
        self.are_known = (
            _CLASSES.are_known and self._methods.are_known and AsReplaced(app, {}, REQUEST_CONTEXT).are_known
        )
        #: The class of the contexts.
        self.kind: Any = type(
            "RequestContext", (_Context,), {"__module__": "flask.ctx", "sessions": self.sessions}
        )

    @nonblocking
    def request_context(self, environ: Environ) -> RequestContext:
        """Return the context for a request; see ``flask.Flask.request_context``."""
        if self._methods.still_hold() and self.classes_hold():
            return self.make(environ)  # type: ignore[no-any-return]
        return self._make(environ)

    def classes_hold(self) -> bool:
        """Say whether the classes have all of their methods that are not called here."""
        return DISPATCH.are_those_of(type(self._app)) and _CLASSES.still_hold()

    def make(self, environ: Environ) -> Any:
        """Return the context for a request, where all methods still hold."""
        app = self._app
        context: Any = self.kind.__new__(self.kind)
        context.app = app
        kind = app.request_class
        context.request = request = make_request(environ) if kind is Request else kind(environ)
        request.json_module = app.json
        context.url_adapter = None
        try:
            context.url_adapter = app.create_url_adapter(request)
        except HTTPException as error:
            request.routing_exception = error
        context.flashes = None
        context._session = None
        context._after_request_functions = []
        context._cv_tokens = []
        return context


class _Context(RequestContext):
    """A context of a request, where nobody but Flask has a part in its making."""

    sessions: ClassVar[Sessions]

    def push(self) -> None:
        """Enter the context; see ``flask.ctx.RequestContext.push``."""
        if self._cv_tokens or _cv_app.get(None) is not None:
            super().push()
            return
        app: Any = self.app
        outer = AppContext.__new__(AppContext)
        outer.app = app
        outer.url_adapter = app.create_url_adapter(None)
        outer.g = app.app_ctx_globals_class()
        outer._cv_tokens = [_cv_app.set(outer)]
        if appcontext_pushed.receivers:
            appcontext_pushed.send(app, _async_wrapper=app.ensure_sync)
        self._cv_tokens.append((_cv_request.set(self), outer))
        if self._session is None:
            self._session = self.sessions.open(self.request)
        if self.url_adapter is not None:
            self.match_request()

    def pop(self, *args: Any, **kwargs: Any) -> None:
        """Leave the context; see ``flask.ctx.RequestContext.pop``."""
        app: Any = self.app
        request, tokens = self.request, self._cv_tokens
        outer = tokens[0][1] if len(tokens) == 1 else None
        if (
            outer is None
            or len(outer._cv_tokens) != 1
            or _cv_request.get(None) is not self
            or _cv_app.get(None) is not outer
            or type(request) is not Request
            or "files" in request.__dict__
            or app.teardown_request_funcs
            or app.teardown_appcontext_funcs
            or request_tearing_down.receivers
            or appcontext_tearing_down.receivers
        ):
            super().pop(*args, **kwargs)
            return
        _cv_request.reset(tokens.pop()[0])
        request.environ["werkzeug.request"] = None
        _cv_app.reset(outer._cv_tokens.pop())
        if appcontext_popped.receivers:
            appcontext_popped.send(app, _async_wrapper=app.ensure_sync)
