# SPDX-License-Identifier: MIT
"""``adopt_socketio``: Flask-SocketIO's clients without a thread for each.

Theory of operation. In the mode ``threading`` an idle client holds four threads: one for its request, one
that reads its WebSocket, one that writes to it, and one that sleeps until the next ping. All of them wait in
code of python-engineio and simple-websocket, for queues, events and sockets. python-engineio has its classes
for these in one table, as it has modes for gevent and eventlet as well. ``adopt_socketio`` puts the classes
of ``greenlets`` into that table. The requests themselves, polls among them, then run on the event loop.

Handlers of the application do not run on the loop. Each event still gets a thread. Engine.IO calls the
handlers of connections in its own code: these calls are handed to a pool of threads. One thread still checks
the time-outs of all clients.
"""

import asyncio
import functools
from collections.abc import Callable
from contextvars import Context
from typing import Any

from flask import Flask

from ashapp.bridge.concurrency.futures import as_coroutine
from ashapp.bridge.concurrency.greenlets.current import current_greenlet
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
from ashapp.bridge.messages.types import Environ
from ashapp.bridge.websocket.libraries.flask_sock import CLASSES
from ashapp.bridge.websocket.libraries.greenlets import (
    GreenletEvent,
    GreenletQueue,
    GreenletThread,
    greenlet_sleep,
)

__all__ = ["PARTS", "WAITS", "adopt_socketio", "adopted_path", "is_adopted"]

#: The entries of python-engineio's table (``engineio.Server._async``) that are replaced.
PARTS = frozenset({"thread", "queue", "queue_empty", "event", "websocket", "sleep"})
#: Functions of python-engineio that wait for nothing but these parts.
WAITS = frozenset({"writer", "_send_ping"})

# The key of ``Flask.extensions`` that has the path of an adopted SocketIO.
_PATH = "ashapp.socketio"

# Threads for the handlers of connections and messages, which take a moment each.
_MOST_THREADS = 1000
_IDLE_TIME = 10.0


class _Thread(GreenletThread):
    """A greenlet for functions of python-engineio that wait, and a thread for all others."""

    def may_be_greenlet(self) -> bool:
        module = getattr(self.target, "__module__", "")
        return module.startswith("engineio.") and getattr(self.target, "__name__", "") in WAITS


def adopt_socketio(socketio: Any) -> None:
    """Let idle clients of *socketio*, a ``flask_socketio.SocketIO`` of an application, hold no threads.

    Call it after ``init_app``, before the application is served. Requests for the path of Socket.IO then run
    on the event loop, so WSGI middleware of the application must not block for them.

    Raises:
        ValueError: *socketio* has no application yet, or its ``async_mode`` is not "threading".
        RuntimeError: the installed python-engineio is not one that this knows.
    """
    middleware = getattr(socketio, "sockio_mw", None)
    if middleware is None:
        raise ValueError("SocketIO has no application yet: call adopt_socketio after init_app(app)")
    engine = socketio.server.eio
    if engine.async_mode != "threading":
        raise ValueError(f'async_mode is {engine.async_mode!r}: only "threading" can be adopted')
    table = getattr(engine, "_async", None)
    if not isinstance(table, dict) or table.keys() != PARTS:
        raise RuntimeError(
            "this release of python-engineio keeps its threads elsewhere: do not adopt_socketio"
        )
    engine._async = {  # noqa: SLF001 - what this is for; a test tells what has changed
        **table,
        "thread": _Thread,
        "queue": GreenletQueue,
        "event": GreenletEvent,
        "websocket": functools.partial(table["websocket"], **CLASSES),
        "sleep": greenlet_sleep,
    }
    pool = ThreadPool(_MOST_THREADS, name="ashapp-socketio", idle_time=_IDLE_TIME)
    engine.handlers = {name: _on_thread(handler, pool) for name, handler in engine.handlers.items()}
    middleware.flask_app.extensions[_PATH] = middleware.engineio_path


def adopted_path(app: Flask) -> str | None:
    """Return the path prefix of an adopted SocketIO of *app*, or None if it has none."""
    # A test's stand-in for the application may have no extensions.
    path: str | None = getattr(app, "extensions", {}).get(_PATH)
    return path


def is_adopted(app: Flask, environ: Environ) -> bool:
    """Say whether the request of *environ* is one of an adopted SocketIO of *app*."""
    path = adopted_path(app)
    return path is not None and environ["PATH_INFO"].startswith(path)


def _on_thread(handler: Callable[..., Any], pool: ThreadPool) -> Callable[..., Any]:
    @functools.wraps(handler)
    def call(*args: Any) -> Any:
        greenlet = current_greenlet()
        if greenlet is None:
            return handler(*args)
        result = pool.call(functools.partial(Context().run, handler, *args))
        return greenlet.wait_for(as_coroutine(asyncio.wrap_future(result)))

    return call
