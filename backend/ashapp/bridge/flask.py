# SPDX-License-Identifier: MIT
"""``FlaskToAsgi``: a Flask application, unchanged, as an ASGI 3 application."""

from __future__ import annotations

import asyncio
from functools import wraps
from inspect import iscoroutine
from typing import TYPE_CHECKING, Any

import flask
from greenlet import getcurrent

from ashapp.bridge.coroutines import run_on_loop
from ashapp.bridge.exchange import current_exchange
from ashapp.bridge.url_adapters import UrlAdapters
from ashapp.bridge.wsgi import WsgiToAsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ashapp.bridge.body import RequestBody
    from ashapp.bridge.types import Environ

__all__ = ["FlaskToAsgi"]


class FlaskToAsgi(WsgiToAsgi):
    """An ASGI application around the Flask object *flask_app*, with the options of ``WsgiToAsgi``.

    Flask's own code serves each request: ``flask_app.wsgi_app`` with all that wraps it, hooks, error
    handlers, signals, sessions and extensions. Coroutines, wherever Flask meets them, run on the
    server's loop, one loop for the worker's life: so a client or a pool that is bound to a loop
    outlives the request, and so does a task that a view creates. A coroutine that a view returns because a
    decorator forgot ``ensure_sync`` is awaited too.

    To that end Flask's ``async_to_sync``, unless the application's class overrides it, and
    ``make_response`` are replaced on the *instance*. Outside a request of this bridge (the command
    line, the test client) they do what they did. ``create_url_adapter`` is replaced by a quicker
    one that gives the same adapters.

    Raises:
        TypeError: *flask_app* is not a ``flask.Flask`` object.

    """

    def __init__(self, flask_app: flask.Flask, *args: Any, **options: Any) -> None:
        if not isinstance(flask_app, flask.Flask):
            raise TypeError(
                f"expected a flask.Flask object, got {flask_app!r}; WsgiToAsgi takes any WSGI callable"
            )
        super().__init__(flask_app, *args, **options)
        coroutines = flask_app.extensions.get("ashapp") or _Coroutines(flask_app)
        coroutines.bridge = self
        if UrlAdapters.applies_to(flask_app):
            setattr(flask_app, "create_url_adapter", UrlAdapters(flask_app).create_url_adapter)  # noqa: B010

    def announce_body(self, environ: Environ, body: RequestBody) -> None:
        """Prepare *body*; it will hold to MAX_CONTENT_LENGTH where its length is not known beforehand."""
        super().announce_body(environ, body)
        if "CONTENT_LENGTH" not in environ:
            body.limit_to(_max_content_length)


class _Coroutines:
    """Where the coroutines of one Flask application run: takes the place of its ``async_to_sync``."""

    def __init__(self, app: flask.Flask) -> None:
        self.bridge: FlaskToAsgi | None = None
        self._app = app
        self._async_to_sync = app.async_to_sync
        if type(app).async_to_sync is flask.Flask.async_to_sync:
            setattr(app, "async_to_sync", self.async_to_sync)  # noqa: B010 - on the instance, on purpose
        self._make_response = app.make_response
        setattr(app, "make_response", self.make_response)  # noqa: B010
        app.extensions["ashapp"] = self

    def async_to_sync(self, func: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
        @wraps(func)
        def call(*args: Any, **kwargs: Any) -> Any:
            exchange = current_exchange()
            if exchange is not None and getcurrent().gr_context is exchange.context:
                _preload(exchange.body)
                return run_on_loop(func(*args, **kwargs), exchange.loop, exchange.context)
            loop = self.bridge.loop if self.bridge else None
            if loop is not None and loop.is_running() and asyncio._get_running_loop() is None:  # noqa: SLF001
                # A thread of the application's own, or a context that it entered: a copy has to do.
                return asyncio.run_coroutine_threadsafe(func(*args, **kwargs), loop).result()
            return self._async_to_sync(func)(*args, **kwargs)

        return call

    def make_response(self, rv: Any) -> flask.Response:
        if iscoroutine(rv):
            rv = self._app.async_to_sync(_finish)(rv)
        return self._make_response(rv)


async def _finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await coroutine


def _max_content_length() -> int | None:
    return flask.request.max_content_length if flask.has_request_context() else None


def _preload(body: RequestBody) -> None:
    """Take in *body* before a coroutine runs, as far as Flask would let the coroutine read it."""
    limit = _max_content_length()
    if limit is None or (flask.request.content_length or 0) <= limit:
        body.preload(limit)
