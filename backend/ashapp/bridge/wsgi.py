# SPDX-License-Identifier: MIT
"""``WsgiToAsgi``: any WSGI application as an ASGI 3 application."""

from __future__ import annotations

import asyncio
import multiprocessing
from contextvars import copy_context
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import asgiref.wsgi

from ashapp.bridge.admission.departures import DEPARTURES, Departures
from ashapp.bridge.admission.free_memory import Memory
from ashapp.bridge.admission.in_flight import ADMISSION, Admission
from ashapp.bridge.admission.websockets import DEFAULT_WEBSOCKET_THREADS, Websockets
from ashapp.bridge.concurrency.async_to_sync import set_main_event_loop
from ashapp.bridge.concurrency.futures import as_exception
from ashapp.bridge.concurrency.own_loop import drain_own_loops
from ashapp.bridge.concurrency.task_factory import TaskKeeper
from ashapp.bridge.concurrency.threads.borrowed_thread import BorrowedThread
from ashapp.bridge.concurrency.threads.request_thread import RequestThread, RequestThreadPool
from ashapp.bridge.concurrency.threads.thread_locals import are_isolated
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
from ashapp.bridge.forked_children import look_after_forks
from ashapp.bridge.keywords import renamed
from ashapp.bridge.lifespan import Lifespan
from ashapp.bridge.messages.environ import body_is_announced, build_environ, server_constants
from ashapp.bridge.messages.headers import ending_upgrade
from ashapp.bridge.mounts import Mounts
from ashapp.bridge.request.output_queue import WriteBehind
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.serving import serve as serve_request
from ashapp.bridge.request.serving import serve_early
from ashapp.bridge.request.thread_call import ThreadCall
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.uploads.intake import DEFAULT_READ_AHEAD, Intake
from ashapp.bridge.websocket.serving import serve as serve_websocket

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from ashapp.bridge.lifespan import LifespanCallable, LifespanManager
    from ashapp.bridge.messages.exchange import Exchange
    from ashapp.bridge.messages.types import AsgiApplication, Environ, Receive, Scope, Send, WsgiApplication
    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["DEFAULT_TASK_GRACE", "DEFAULT_THREADS", "RENAMED", "WsgiToAsgi"]

DEFAULT_THREADS = 40
#: Keywords by their old names.
RENAMED = {
    "max_in_flight": "limit_in_flight",
    "max_queued": "limit_queue",
    "max_body": "limit_body",
    "max_buffered": "limit_buffered",
}
#: Seconds that requests, and tasks which they left running, have at shutdown.
DEFAULT_TASK_GRACE = 5.0
# Seconds between looks at what is still in flight.
_DRAIN_INTERVAL = 0.01


class WsgiToAsgi(asgiref.wsgi.WsgiToAsgi):
    """An ASGI application around *wsgi_application*, in place of ``asgiref.wsgi.WsgiToAsgi``.

    Requests run on a pool of at most *threads* threads, each request on one of them. Further ones
    wait in order of arrival.

    *duplicate_header_limit* is how often a header may be repeated before the request is refused with
    400 (None or 0: any number). *multiprocess* is what ``wsgi.multiprocess`` says: whether other
    processes serve the same application; by default, whether this process is a child that
    ``multiprocessing`` started, as uvicorn's workers are, or a worker of ``ashapp serve``.
    *request_timeout* is the time in seconds after which a request whose response has not begun is answered
    with 504 (None: never).
    *limit_in_flight* is how many requests there may be at once, and *limit_queue* how many of them may wait
    for a thread: one more is answered with 503 at once (see ``Admission``). *limit_body* is the greatest
    length in bytes of a request body: a longer one is answered with 413. None stands for no such bound.
    *limit_websockets* is how many WebSockets there may be at once, none of which is a request in flight, and
    *websocket_threads* how many of them may hold a thread: all do but those with an ``async def`` handler of
    ``websocket``. One more is denied with 503. The default is 1000 threads, or 1 where *threads* is 1.
    *read_ahead* is how many bytes of a body are read before the request takes a thread (see ``Intake``), and
    *limit_buffered* how many bytes of bodies all requests together may be given at once; by default that
    depends on the memory that is left (see ``Budget``).
    *on_startup* and *on_shutdown* are callables without arguments, sync or async, that run when the
    server starts and stops; *lifespan* makes an async context manager of *wsgi_application* that is
    open in between (see ``Lifespan``). *mounts* are other ASGI applications by the prefixes of their paths,
    such as ``{"/mcp": app}`` (see ``ashapp.bridge.mounts``). *task_grace* is how many seconds requests that
    the server has not waited for, and tasks that the application left running, have at shutdown before it
    goes on and cancels those tasks.

    It serves ``http``, ``websocket`` and ``lifespan`` scopes.

    Raises:
        TypeError: *wsgi_application* is not callable.
        ValueError: *threads* is less than one, or a bound is.

    """

    #: Whether other processes serve the same application, as far as a server knows that has forked this one.
    has_siblings: ClassVar[bool] = False

    @renamed(**RENAMED)
    def __init__(  # noqa: PLR0913 - options, all but asgiref's two by keyword
        self,
        wsgi_application: WsgiApplication,
        duplicate_header_limit: int | None = 100,
        *,
        threads: int = DEFAULT_THREADS,
        multiprocess: bool | None = None,
        request_timeout: float | None = None,
        limit_in_flight: int | None = None,
        limit_queue: int | None = None,
        limit_websockets: int | None = None,
        websocket_threads: int | None = None,
        limit_body: int | None = None,
        read_ahead: int = DEFAULT_READ_AHEAD,
        limit_buffered: int | None = None,
        on_startup: Iterable[LifespanCallable] = (),
        on_shutdown: Iterable[LifespanCallable] = (),
        lifespan: LifespanManager | None = None,
        mounts: Mapping[str, AsgiApplication] | None = None,
        task_grace: float = DEFAULT_TASK_GRACE,
    ) -> None:
        if not callable(wsgi_application):
            raise TypeError(f"expected a WSGI application, got {wsgi_application!r}, which can't be called")
        if multiprocess is None:
            multiprocess = self.has_siblings or multiprocessing.parent_process() is not None
        self.limit_body = limit_body
        self.loop: asyncio.AbstractEventLoop | None = None
        #: The pool that requests run on, to be looked at.
        self.threads = ThreadPool(threads)
        self.admission = Admission(self.threads, limit_in_flight, limit_queue)
        self.intake = Intake(Memory(), max(threads // 2, 1), read_ahead)
        self.intake.budget.limit = limit_buffered
        if websocket_threads is None:
            websocket_threads = DEFAULT_WEBSOCKET_THREADS if threads > 1 else 1
        #: What is told to leave when the service ends.
        self.departures = Departures()
        self.websockets = Websockets(websocket_threads, limit_websockets, self.departures)
        self._constants = {
            **server_constants(multithread=threads > 1, multiprocess=multiprocess),
            ADMISSION: self.admission,
            DEPARTURES: self.departures,
        }
        #: What the calls of requests share.
        self.service = Service(
            wsgi_application,
            self.threads,
            WriteBehind(self.intake.budget.left),
            TaskKeeper(),
            request_timeout,
            task_grace,
            RequestThreadPool(threads),
            self.admission,
            self._go_on,
        )
        super().__init__(wsgi_application, duplicate_header_limit)  # type: ignore[no-untyped-call]
        #: Other ASGI applications, by the prefixes of their paths.
        self.mounts = Mounts(mounts or {})
        self.lifespan = Lifespan(
            wsgi_application,
            self._run_sync,
            self._drain,
            on_startup,
            on_shutdown,
            lifespan,
            self.mounts.values(),
        )

    def set_default_limits(  # noqa: PLR0913 - all by keyword
        self,
        *,
        limit_in_flight: int | None,
        limit_queue: int | None,
        limit_websockets: int | None,
        limit_body: int | None,
        limit_buffered: int | None,
        request_timeout: float | None,
    ) -> None:
        """Set those of the limits that were not given when this was made; None leaves one as it is."""
        for owner, name, limit in (
            (self.admission, "limit_in_flight", limit_in_flight),
            (self.admission, "limit_queue", limit_queue),
            (self.websockets, "limit", limit_websockets),
            (self, "limit_body", limit_body),
            (self.intake.budget, "limit", limit_buffered),
            (self.service, "request_timeout", request_timeout),
        ):
            if getattr(owner, name) is None:
                setattr(owner, name, limit)

    @property
    def wsgi_application(self) -> Any:
        """What is served; see ``asgiref.wsgi.WsgiToAsgi``."""
        return self.service.application

    @wsgi_application.setter
    def wsgi_application(self, application: WsgiApplication) -> None:
        self.service.application = application

    @cached_property
    def websocket_service(self) -> Service:
        """What the calls of WebSockets share: they have threads of their own, and any time."""
        return replace(
            self.service,
            pool=self.websockets.pool,
            admission=Admission(self.websockets.pool, None, None),
            request_timeout=None,
            # Else the next one would see on a thread what the last has left there.
            thread_type=BorrowedThread if are_isolated() else RequestThread,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one *scope* (ASGI 3.0, "Applications").

        Raises:
            ValueError: *scope* is of a type unknown to ASGI's HTTP and lifespan specifications.

        """
        if scope["type"] != "http" or (self.mounts and self.mounts.find(scope)):
            await self._serve_other(scope, receive, send)
        else:
            self.admission.in_flight += 1
            await serve_early(self, scope, receive, ending_upgrade(scope, send))

    def begin(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Serve the request of *exchange* without a task, or return what is to be awaited in one."""
        if self.mounts or type(self).__call__ is not WsgiToAsgi.__call__:
            return self(exchange.scope, exchange.receive, exchange.send)
        self.admission.in_flight += 1
        try:
            call = self.prepare(exchange.scope, exchange.receive)
            if not call.body.announced and call.begin(exchange):
                return None
        except Exception:
            return self._go_on(exchange)  # which meets the same, and answers
        return self._go_on(exchange, call)

    def _go_on(self, exchange: Exchange, call: WsgiCall | None = None) -> Coroutine[Any, Any, None]:
        return serve_request(self, exchange.scope, exchange.receive, exchange.send, call)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        mount = self.mounts.find(scope)
        if mount is not None:
            await mount.serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            self.service.tasks.startup_context = copy_context()
            await self.lifespan(scope, receive, send)
            for pool in (self.threads, self.websockets.pool, self.service.request_threads):
                pool.dismiss()
        elif scope["type"] == "websocket":
            self._enter_loop()
            self.websockets.open += 1
            await serve_websocket(self, scope, receive, send)
        else:
            raise ValueError(f"scope type {scope['type']!r}: expected 'http', 'websocket' or 'lifespan'")

    def prepare(self, scope: Scope, receive: Receive) -> WsgiCall:
        """Return the call that serves the request of *scope*.

        Raises:
            RequestRejected: the head of the request is wrong, or there are too many.

        """
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self._enter_loop()
        self.admission.check()
        body = InputStream(receive, loop)
        environ = self.build_environ(scope, body)
        if body_is_announced(environ):
            body.announce(environ, self.limit_body, self._max_body_length)
        return self.make_call(environ, body)

    def build_environ(self, scope: Scope, body: InputStream) -> Environ:
        """Return the environ for *scope* (PEP 3333), with *body* as ``wsgi.input``.

        Raises:
            RequestRejected: the headers contradict each other.

        """
        return build_environ(scope, body, self._constants, self.duplicate_header_limit)

    def note_route(self, call: WsgiCall | None) -> None:
        """Note the route of a request that is given up, if it is not known yet."""

    def _max_body_length(self) -> int | None:
        return self.limit_body

    def make_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call that serves a request."""
        return ThreadCall(self.service, environ, body)

    def make_websocket_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call that serves a WebSocket."""
        return ThreadCall(self.websocket_service, environ, body)

    def wants_socket(self, environ: Environ) -> bool:  # noqa: ARG002 - for subclasses
        """Say whether the application may take the socket of the WebSocket of *environ*."""
        return True

    def _enter_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if loop is not self.loop:
            self.loop = loop
            self.service.tasks.install(loop)
            look_after_forks()
        return loop

    async def _drain(self) -> None:
        # Requests that the server gave up end with teardowns, which still use what shutdown takes away.
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.service.grace
        while (self.admission.in_flight or self.websockets.open) and loop.time() < deadline:  # noqa: ASYNC110 - an event would cost each request
            await asyncio.sleep(_DRAIN_INTERVAL)
        await drain_own_loops(max(deadline - loop.time(), 0))
        await self.service.tasks.drain(max(deadline - loop.time(), 0))

    async def _run_sync(self, function: Callable[[], Any]) -> Any:
        loop = self._enter_loop()

        def call() -> Any:
            set_main_event_loop(loop)
            try:
                return function()
            except StopIteration as error:  # which a future can't hold
                raise as_exception(error) from error

        return await asyncio.wrap_future(self.threads.call(call))
