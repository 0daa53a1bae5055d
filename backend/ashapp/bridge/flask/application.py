# SPDX-License-Identifier: MIT
"""``FlaskToAsgi``: a Flask application, unchanged, as an ASGI 3 application."""

import asyncio
from copy import copy
from functools import cached_property
from typing import Literal, Unpack

import flask
from flask.app import Flask

from ashapp.bridge.concurrency.threads.request_thread import RequestThreadPool
from ashapp.bridge.flask.dispatch import Dispatch
from ashapp.bridge.loop_or_thread.marks import ASYNC_VIEWS, STATIC_FILES, keeps_on_threads
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.options import BridgeOptions, accept_old_names
from ashapp.bridge.request.loop_call import LoopCall
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall
from ashapp.bridge.websocket.libraries.flask_sock import offer_greenlets
from ashapp.bridge.websocket.libraries.socket_io import is_adopted
from ashapp.bridge.wsgi import WsgiToAsgi

__all__ = ["DEFAULT_ASYNC_THREADS", "FlaskToAsgi"]

#: How many requests with an async view may each hold a thread for their sync hooks.
DEFAULT_ASYNC_THREADS = 1000


class FlaskToAsgi(WsgiToAsgi):
    """An ASGI application around the Flask object *flask_app*, with the options of ``WsgiToAsgi``.

    *async_views* is the place of async views: the "loop", or a "thread" for each, with a loop of its own,
    where a view that blocks delays no other. It sets ``ASHAPP_ASYNC_VIEWS`` in the application's config; None
    leaves that as it is. ``on_thread`` is for single views and blueprints. *async_threads* is how many
    threads there may be for the sync hooks, error handlers and teardown functions of requests whose view runs
    on the loop. Each such request has one of its own, from the first of these functions to its end, or to the
    beginning of an async stream. If thread-local values are isolated, a WebSocket has one only while such a
    function runs. Further requests wait in order of arrival. The default is 1000, or 1 if *threads* is 1,
    because the application may then rely on one thread.

    Flask's own code serves each request: ``flask_app.wsgi_app`` with all that wraps it, hooks, error
    handlers, signals, sessions and extensions. Coroutines, wherever Flask meets them, run on the server's
    loop, one loop for the worker's life. So a client or a pool that is bound to a loop outlives the request,
    and so does a task that a view creates.

    To that end methods are replaced on *flask_app*, and some functions of Flask and Werkzeug for the process:
    ``ashapp.bridge.flask.patches`` lists them. Outside a request of this bridge they do what they did.

    Raises:
        TypeError: *flask_app* is not a ``flask.Flask`` object.
        ValueError: *async_views* or the application's config says something else, or *async_threads* is less
            than one.
    """

    @accept_old_names
    def __init__(
        self,
        flask_app: flask.Flask,
        duplicate_header_limit: int | None = 100,
        *,
        async_views: Literal["loop", "thread"] | None = None,
        async_threads: int | None = None,
        **options: Unpack[BridgeOptions],
    ) -> None:
        if not isinstance(flask_app, Flask):
            raise TypeError(
                f"expected a flask.Flask object, got {flask_app!r}; WsgiToAsgi takes any WSGI callable"
            )
        super().__init__(flask_app, duplicate_header_limit, **options)
        if async_views is not None:
            flask_app.config[ASYNC_VIEWS] = async_views
        for key in (ASYNC_VIEWS, STATIC_FILES):
            keeps_on_threads(flask_app, key)  # or its config is wrong
        self._dispatch: Dispatch = flask_app.extensions.get("ashapp") or Dispatch(flask_app)
        if async_threads is None:
            async_threads = DEFAULT_ASYNC_THREADS if self.threads.size > 1 else 1
        self.service.request_threads = RequestThreadPool(async_threads, lambda: self.lifespan.is_stopping)
        self.service.wants_own_loop = self._dispatch.wants_own_loop
        self.service.is_isolated = self._dispatch.placement.is_isolated
        self.service.note_route = self._dispatch.routing.note_route
        self.service.wants_socket = self._wants_socket

    @property
    def request_threads(self) -> RequestThreadPool:
        """The threads for the sync callables of requests whose view runs on the loop, to be looked at."""
        return self.service.request_threads

    @cached_property
    def file_service(self) -> Service:
        """The state that calls of static files share. Each has a thread only while it touches its file."""
        service = copy(self.service)
        service.borrows_threads = True
        return service

    def make_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call for a request: on the loop for an async view, else on a thread."""
        place = self._dispatch.routing.place_on_loop(environ)
        if place is not None and place.serves_files:
            return LoopCall(self.file_service, environ, body)
        if place is not None or is_adopted(self.wsgi_application, environ):
            return LoopCall(self.service, environ, body, self._dispatch.begin)
        return super().make_call(environ, body)

    def make_websocket_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call for a WebSocket: on the loop for a handler that may run there, else on a thread."""
        if self._dispatch.routing.handler_runs_on_loop(environ) or is_adopted(self.wsgi_application, environ):
            return LoopCall(self.websocket_service, environ, body)
        return super().make_websocket_call(environ, body)

    def _wants_socket(self, environ: Environ) -> bool:
        """Say whether the handler may take the socket of its WebSocket: not one of ``websocket``."""
        if self._dispatch.routing.has_native_handler(environ):
            return False
        offer_greenlets(self.wsgi_application.config)
        return True

    def begin_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note that requests are served on *loop* from now on."""
        super().begin_on(loop)
        self._dispatch.enter_loop(loop)

    def max_body_length(self) -> int | None:
        """Return the greatest length of the body that is read now; see ``WsgiToAsgi``."""
        # The limit of ``request.stream`` does not hold for reads of ``wsgi.input`` itself.
        if not flask.has_request_context() or "stream" not in vars(flask.request):
            return self.limit_body
        limits = [limit for limit in (self.limit_body, flask.request.max_content_length) if limit is not None]
        return min(limits, default=None)
