# SPDX-License-Identifier: MIT
"""The shape of Flask's development branch, on the Flask that is installed: one context, passed first.

From Flask 3.2 on there is one class of contexts, with or without a request, and the methods of the dispatch
take it as their first argument.
"""

import sys
from types import TracebackType
from typing import Any, Self

import flask
import pytest
from werkzeug.exceptions import HTTPException, InternalServerError

__all__ = ["IS_MERGED", "merge_contexts"]

#: Whether the Flask that is installed has that shape itself.
IS_MERGED = "request_ctx" not in vars(flask.globals)

_cv_app: Any = flask.globals._cv_app
_cv_request: Any = vars(flask.globals).get("_cv_request")

_PASSED_ON = (
    "preprocess_request",
    "dispatch_request",
    "process_response",
    "handle_http_exception",
    "do_teardown_request",
    "do_teardown_appcontext",
    "log_exception",
)


class _Context:
    """The context of an application, and of a request if there is one."""

    def __init__(self, app: flask.Flask, *, request: Any = None, session: Any = None) -> None:
        self.app = app
        self.g = app.app_ctx_globals_class()
        self.request = request
        self.session = self._session = session
        self.flashes: Any = None
        self.url_adapter: Any = None
        self._after_request_functions: list[Any] = []
        self._tokens: Any = None
        self._pushed = 0
        try:
            self.url_adapter = app.create_url_adapter(request)
        except HTTPException as error:
            request.routing_exception = error

    def copy(self) -> Self:
        return type(self)(self.app, request=self.request, session=self.session)

    def push(self) -> None:
        self._pushed += 1
        if self._tokens is not None:
            return
        self._tokens = [_cv_app.set(self)]
        flask.appcontext_pushed.send(self.app, _async_wrapper=self.app.ensure_sync)
        if self.request is None:
            return
        self._tokens.append(_cv_request.set(self))
        if self.session is None:
            self.session = self._session = self.app.session_interface.open_session(self.app, self.request)
        try:
            result = self.url_adapter.match(return_rule=True)
        except HTTPException as error:
            self.request.routing_exception = error
        else:
            self.request.url_rule, self.request.view_args = result

    def pop(self, error: BaseException | None = None) -> None:
        app: Any = self.app
        self._pushed -= 1
        if self._pushed:
            return
        if self.request is not None:
            app.do_teardown_request(self, error)
            self.request.close()
        app.do_teardown_appcontext(self, error)
        for variable, token in zip((_cv_app, _cv_request), self._tokens, strict=False):
            variable.reset(token)
        self._tokens = None
        flask.appcontext_popped.send(app, _async_wrapper=app.ensure_sync)

    def __enter__(self) -> Self:
        self.push()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.pop(error)


def _app_context(self: flask.Flask) -> _Context:
    return _Context(self)


def _request_context(self: flask.Flask, environ: Any) -> _Context:
    return _Context(self, request=self.request_class(environ))


def _wsgi_app(self: Any, environ: Any, start_response: Any) -> Any:
    context = self.request_context(environ)
    error: BaseException | None = None
    try:
        try:
            context.push()
            response = self.full_dispatch_request(context)
        except Exception as raised:
            error = raised
            response = self.handle_exception(context, raised)
        except:
            error = sys.exception()
            raise
        return response(environ, start_response)
    finally:
        context.pop(error)


def _full_dispatch_request(self: Any, context: _Context) -> Any:
    self._got_first_request = True
    try:
        flask.request_started.send(self, _async_wrapper=self.ensure_sync)
        rv = self.preprocess_request(context)
        if rv is None:
            rv = self.dispatch_request(context)
    except Exception as error:
        rv = self.handle_user_exception(context, error)
    return self.finalize_request(context, rv)


def _finalize_request(self: Any, context: _Context, rv: Any, from_error_handler: bool = False) -> Any:  # noqa: FBT001, FBT002 - Flask's
    response = self.process_response(context, self.make_response(rv))
    flask.request_finished.send(self, _async_wrapper=self.ensure_sync, response=response)
    return response


def _handle_user_exception(self: Any, context: _Context, error: Exception) -> Any:
    if isinstance(error, HTTPException):
        return self.handle_http_exception(context, error)
    handler = self._find_error_handler(error, flask.request.blueprints)
    if handler is None:
        raise error
    return self.ensure_sync(handler)(error)


def _handle_exception(self: Any, context: _Context, error: Exception) -> Any:
    flask.got_request_exception.send(self, _async_wrapper=self.ensure_sync, exception=error)
    self.log_exception(context, sys.exc_info())
    return self.finalize_request(context, InternalServerError(original_exception=error), True)  # noqa: FBT003


def merge_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give ``flask.Flask`` that shape, for a test, unless it has it."""
    if IS_MERGED:
        return
    for name in _PASSED_ON:
        monkeypatch.setattr(flask.Flask, name, _context_first(getattr(flask.Flask, name)))
    monkeypatch.setattr(flask.Flask, "app_context", _app_context)
    monkeypatch.setattr(flask.Flask, "request_context", _request_context)
    monkeypatch.setattr(flask.Flask, "wsgi_app", _wsgi_app)
    monkeypatch.setattr(flask.Flask, "full_dispatch_request", _full_dispatch_request)
    monkeypatch.setattr(flask.Flask, "finalize_request", _finalize_request)
    monkeypatch.setattr(flask.Flask, "handle_user_exception", _handle_user_exception)
    monkeypatch.setattr(flask.Flask, "handle_exception", _handle_exception)
    monkeypatch.delattr(flask.globals, "request_ctx")


def _context_first(method: Any) -> Any:
    def merged(self: flask.Flask, context: _Context, *args: Any) -> Any:
        assert isinstance(context, _Context)
        return method(self, *args)

    return merged
