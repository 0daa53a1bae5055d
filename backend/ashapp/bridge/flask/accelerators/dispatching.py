# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Flask's ``full_dispatch_request`` in one piece, where the application has no method of its own in between.

Flask comes from the context to the response by four methods, each of which asks anew for the current
context, the request and its blueprints. Here all of that is asked for once. The functions of the application
are called in the same order, through the same ``ensure_sync``. Where there are such besides the view, or one
of the methods is not Flask's own, Flask's method is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask.globals
from flask import request_finished, request_started

from ashapp.bridge.flask.accelerators.originals import AsReplaced
from ashapp.bridge.flask.accelerators.stages import is_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import ContextVar

    from flask.app import Flask

    from ashapp.bridge.flask.accelerators.contexts import Contexts
    from ashapp.bridge.flask.accelerators.sessions import Sessions

__all__ = ["Dispatching"]

_STAGES = ("preprocess_request", "dispatch_request", "finalize_request", "process_response")
# Where Flask 3.2 has merged the contexts, it is not asked.
_cv_request: ContextVar[Any] = vars(flask.globals).get("_cv_request", flask.globals._cv_app)


class Dispatching:
    """Dispatches the requests of *app*, whose methods the bridge replaces by *replacements*.

    *note_match* is told of each request that is matched, before anything that takes its time.
    """

    def __init__(
        self,
        app: Flask,
        replacements: Mapping[str, Callable[..., Any]],
        contexts: Contexts,
        sessions: Sessions,
        note_match: Callable[[flask.Request], None],
    ) -> None:
        self._app = app
        self._kind = contexts.kind
        self._sessions = sessions
        self._note_match = note_match
        self._methods = AsReplaced(app, replacements, *_STAGES)
        self._as_flask_does: Callable[..., flask.Response] = app.full_dispatch_request

    def full_dispatch_request(self, *args: Any, **kwargs: Any) -> flask.Response:
        """Make the response for the current request; see ``flask.Flask.full_dispatch_request``."""
        app = self._app
        context = _cv_request.get(None)
        if type(context) is not self._kind or not (app._got_first_request and self._methods.still_hold()):
            return self._as_flask_does(*args, **kwargs)
        try:
            rv = self._call_view(app, context.request)
        except Exception as error:
            rv = app.handle_user_exception(error)
        response = app.make_response(rv)
        if (
            app.after_request_funcs
            or context._after_request_functions
            or _cv_request.get(None) is not context
            or not self._sessions.is_idle(context._session)
        ):
            response = app.process_response(response)
        request_finished.send(app, _async_wrapper=app.ensure_sync, response=response)
        return response

    def _call_view(self, app: Flask, request: flask.Request) -> Any:
        """Return what the view, or a function before it, has returned."""
        if request_started.receivers or not is_idle(app, "preprocess_request"):
            request_started.send(app, _async_wrapper=app.ensure_sync)
            rv = app.preprocess_request()
            return app.dispatch_request() if rv is None else rv
        self._note_match(request)
        if request.routing_exception is not None:
            app.raise_routing_exception(request)
        rule: Any = request.url_rule
        if getattr(rule, "provide_automatic_options", False) and request.method == "OPTIONS":
            return app.make_default_options_response()
        arguments: Any = request.view_args
        return app.ensure_sync(app.view_functions[rule.endpoint])(**arguments)
