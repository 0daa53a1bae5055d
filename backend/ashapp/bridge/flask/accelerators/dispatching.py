# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Flask's ``full_dispatch_request`` in one piece, for applications that override no method in between.

Flask comes from the context to the response by four methods. Each looks up the current context, the request
and its blueprints. Here they are looked up once. The functions of the application are called in the same
order, through the same ``ensure_sync``. If there are such functions besides the view, or one of the methods
is not Flask's own, Flask's method is called.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import flask.globals
from flask import request_finished, request_started
from flask.app import Flask

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets.current import current_call
from ashapp.bridge.flask.accelerators.contexts import Contexts
from ashapp.bridge.flask.accelerators.responses import Responses
from ashapp.bridge.flask.routing import note_match
from ashapp.bridge.loop_or_thread.marks import is_kept
from ashapp.bridge.loop_or_thread.views import makes_coroutine

__all__ = ["Dispatching"]

# With the merged contexts of Flask 3.2 it is not used.
_cv_request: ContextVar[Any] = vars(flask.globals).get("_cv_request", flask.globals._cv_app)


class Dispatching:
    """Dispatches the requests of *app* that have contexts of *contexts*, and makes their responses.

    *make_response* is the one that the bridge sets on *app*.
    """

    def __init__(self, app: Flask, contexts: Contexts, make_response: Callable[..., flask.Response]) -> None:
        self._app = app
        # Methods that may be replaced while a view waits, on the object or its class; by identity.
        self._of_the_object = vars(app)
        self._make_response, self._process_response = make_response, type(app).process_response
        self._kind = contexts.kind
        self._sessions = contexts.sessions
        self._responses = Responses(app)
        self._as_flask_does = app.full_dispatch_request

    @property
    def has_begun(self) -> bool:
        """Whether a request has been dispatched: the first is left to Flask, which notes that."""
        return self._app._got_first_request

    def full_dispatch_request(self, *args: Any, **kwargs: Any) -> flask.Response:
        """Make the response for the current request; see ``flask.Flask.full_dispatch_request``."""
        context = _cv_request.get(None)
        # Whether the application overrides methods was checked when the context was made.
        if type(context) is not self._kind or not self.has_begun:
            return self._as_flask_does(*args, **kwargs)
        call = current_call()
        return self.finalize(context, self.call_view(context.request, call), call)

    def call_view(self, request: Any, call: Call | None, *, awaits: bool = False) -> Any:
        """Return the result of the view for *request*, or of a function in its place.

        A caller that *awaits* gets the coroutine of an async view.
        """
        app = self._app
        try:
            if app.before_request_funcs or app.url_value_preprocessors or request_started.receivers:
                request_started.send(app, _async_wrapper=app.ensure_sync)
                rv = app.preprocess_request()
                if rv is not None:
                    return rv
            elif call is not None and not call.matched:
                note_match(call, request)
            if request.routing_exception is not None:
                app.raise_routing_exception(request)
            rule = request.url_rule
            if getattr(rule, "provide_automatic_options", False) and request.method == "OPTIONS":
                return app.make_default_options_response()
            view = app.view_functions[rule.endpoint]
            if not (awaits and makes_coroutine(view) and not is_kept(view)):
                view = app.ensure_sync(view)
            return view(**request.view_args)
        except Exception as error:
            return app.handle_user_exception(error)

    def finalize(self, context: Any, rv: Any, call: Call | None) -> flask.Response:
        """Return the response for *rv*, which the view or an error handler has returned."""
        app, own = self._app, self._of_the_object
        is_own = own.get("make_response") is self._make_response
        response = (self._responses.make(rv) if is_own else None) or app.make_response(rv)
        if (
            app.after_request_funcs
            or "process_response" in own
            or type(app).process_response is not self._process_response
            or context._after_request_functions
            or _cv_request.get(None) is not context
            or not self._sessions.is_idle(context._session)
        ):
            response = app.process_response(response)
        elif not request_finished.receivers:
            if call is not None:
                call.note_response(response)
            return response
        request_finished.send(app, _async_wrapper=app.ensure_sync, response=response)
        return response
