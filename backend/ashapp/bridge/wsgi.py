# SPDX-License-Identifier: MIT
"""``WsgiToAsgi``: any WSGI application as an ASGI 3 application."""

import asyncio
import multiprocessing
from collections.abc import Awaitable
from contextvars import copy_context
from copy import copy
from functools import cached_property
from typing import Any, ClassVar, Unpack

import asgiref.wsgi

from ashapp.bridge.admission.departures import DEPARTURES, Departures
from ashapp.bridge.admission.in_flight import ADMISSION, Admission
from ashapp.bridge.admission.websockets import DEFAULT_WEBSOCKET_THREADS, Websockets
from ashapp.bridge.concurrency.threads.thread_locals import are_isolated
from ashapp.bridge.forked_children import look_after_forks
from ashapp.bridge.lifespan import Lifespan
from ashapp.bridge.messages.environ import body_is_announced, build_environ, environ_template
from ashapp.bridge.messages.exchange import Exchange
from ashapp.bridge.messages.types import Environ, Receive, Scope, Send, WsgiApplication
from ashapp.bridge.messages.upgrades import ending_upgrade
from ashapp.bridge.mounts import Mounts
from ashapp.bridge.options import BridgeOptions, accept_old_names, refuse_unknown
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.serving import refuse, serve
from ashapp.bridge.request.thread_call import ThreadCall
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall
from ashapp.bridge.websocket.serving import serve as serve_websocket

__all__ = ["WsgiToAsgi"]


class WsgiToAsgi(asgiref.wsgi.WsgiToAsgi):
    """An ASGI application around *wsgi_application*, in place of ``asgiref.wsgi.WsgiToAsgi``.

    It serves ``http``, ``websocket`` and ``lifespan`` scopes. Each request runs on one thread of a pool.

    *duplicate_header_limit* is how often a header may be repeated before the request is refused with
    400 (None or 0: any number). *options* are those of ``BridgeOptions``.

    Raises:
        TypeError: *wsgi_application* is not callable, or there is no such option.
        ValueError: *threads* is less than one, or a limit is.
    """

    #: Whether other processes serve the same application; set by a server that has forked this one.
    has_siblings: ClassVar[bool] = False

    @accept_old_names
    def __init__(
        self,
        wsgi_application: WsgiApplication,
        duplicate_header_limit: int | None = 100,
        **options: Unpack[BridgeOptions],
    ) -> None:
        if not callable(wsgi_application):
            raise TypeError(f"expected a WSGI application, got {wsgi_application!r}, which can't be called")
        refuse_unknown(options)
        #: The loop that requests are served on.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: The state that the calls of requests share.
        self.service = Service(wsgi_application, options)
        #: The pool that requests run on; public, to be read.
        self.threads = self.service.pool
        self.admission = self.service.admission
        self.intake = self.service.intake
        self.limit_body = options.get("limit_body")
        #: The connections that are told to leave when the service ends.
        self.departures = Departures()
        self.websockets = _websockets(options, self.departures)
        super().__init__(wsgi_application, duplicate_header_limit)  # type: ignore[no-untyped-call]
        #: Other ASGI applications, by the prefixes of their paths.
        self.mounts = Mounts(options.get("mounts") or {})
        self.lifespan = Lifespan(wsgi_application, self.service, self.websockets, self.mounts, options)
        is_multiprocess = options.get("multiprocess")
        if is_multiprocess is None:
            is_multiprocess = self.has_siblings or multiprocessing.parent_process() is not None
        self._template = environ_template(
            {ADMISSION: self.admission, DEPARTURES: self.departures},
            multithread=self.threads.size > 1,
            multiprocess=is_multiprocess,
        )

    @property
    def wsgi_application(self) -> Any:
        """What is served; see ``asgiref.wsgi.WsgiToAsgi``."""
        return self.service.application

    @wsgi_application.setter
    def wsgi_application(self, application: WsgiApplication) -> None:
        self.service.application = application

    # -- scopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one *scope* (ASGI 3.0, "Applications").

        Raises:
            ValueError: *scope* is of a type unknown to ASGI's HTTP and lifespan specifications.
        """
        if scope["type"] != "http" or (self.mounts and self.mounts.find(scope)):
            await self._serve_other(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    def begin(self, exchange: Exchange) -> Awaitable[None] | None:
        """Serve the request of *exchange* without a task. Return what a task must await, or None."""
        scope, receive, send = exchange.scope, exchange.receive, exchange.send
        if self.mounts or type(self).__call__ is not WsgiToAsgi.__call__:
            return self(scope, receive, send)
        rest: Awaitable[None] | None = self._serve(scope, receive, send, exchange)
        return rest

    def _serve(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange | None = None) -> Any:
        """Return what must be awaited, or None: with an *exchange* it may need no task."""
        self.admission.in_flight += 1
        try:
            call = self.prepare(scope, receive)
            if exchange is not None and not call.body.announced and call.begin(exchange):
                return None
        except Exception as error:
            return refuse(self.admission, error, ending_upgrade(scope, send))
        return serve(call, ending_upgrade(scope, send) if "HTTP_UPGRADE" in call.environ else send)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        mount = self.mounts.find(scope)
        if mount is not None:
            is_request = scope["type"] == "http"
            await mount.serve(scope, receive, ending_upgrade(scope, send) if is_request else send)
        elif scope["type"] == "lifespan":
            self.service.tasks.startup_context = copy_context()
            self._enter_loop()
            await self.lifespan(scope, receive, send)
        elif scope["type"] == "websocket":
            self._enter_loop()
            self.websockets.open += 1
            await serve_websocket(self.websockets, self._prepare_websocket, scope, receive, send)
        else:
            raise ValueError(f"scope type {scope['type']!r}: expected 'http', 'websocket' or 'lifespan'")

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.begin_on(loop)
        return loop

    def begin_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take note that requests are served on *loop* from now on."""
        self.loop = loop
        self.service.tasks.install(loop)
        look_after_forks()

    # -- requests

    def prepare(self, scope: Scope, receive: Receive) -> WsgiCall:
        """Return the call that serves the request of *scope*.

        Raises:
            RequestRejected: the head of the request is wrong, or there are too many.
        """
        loop = self._enter_loop()
        self.admission.check()
        body = InputStream(receive, loop)
        environ = self.build_environ(scope, body)
        if body_is_announced(environ):
            body.announce(environ, self.limit_body, self.max_body_length)
        return self.make_call(environ, body)

    def build_environ(self, scope: Scope, body: InputStream) -> Environ:
        """Return the environ for *scope* (PEP 3333), with *body* as ``wsgi.input``.

        Raises:
            RequestRejected: the headers contradict each other.
        """
        return build_environ(scope, body, self._template, self.duplicate_header_limit)

    def max_body_length(self) -> int | None:
        """Return the greatest length of the body that is read now, in bytes; None for any."""
        return self.limit_body

    def make_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call that serves a request."""
        return ThreadCall(self.service, environ, body)

    # -- WebSockets

    @cached_property
    def websocket_service(self) -> Service:
        """The state that the calls of WebSockets share: they have threads of their own, and no time-out."""
        service = copy(self.service)
        service.pool = self.websockets.pool
        service.admission = Admission(service.pool, None, None)
        service.request_timeout = None
        # Otherwise the next one would see on a thread what the last has left there.
        service.borrows_threads = are_isolated()
        return service

    def _prepare_websocket(self, scope: Scope, body: InputStream, entries: Environ) -> WsgiCall:
        return self.make_websocket_call({**self.build_environ(scope, body), **entries}, body)

    def make_websocket_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call that serves a WebSocket."""
        return ThreadCall(self.websocket_service, environ, body)


def _websockets(options: BridgeOptions, departures: Departures) -> Websockets:
    threads = options.get("websocket_threads")
    if threads is None:
        threads = DEFAULT_WEBSOCKET_THREADS if options.get("threads") != 1 else 1
    return Websockets(threads, options.get("limit_websockets"), departures)
