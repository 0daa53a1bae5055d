# SPDX-License-Identifier: MIT
"""The bridge, driven so that the application runs in the thread that makes the request.

Test suites hold SQLite handles, patch thread-locals and look into generators between two chunks. So a
test's thread does what a thread of the bridge's pool does elsewhere. And what a scope can't say is taken
from an extension of it. All else is the bridge as it is; async views run on its loop.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import flask
from greenlet import getcurrent, greenlet

from ashapp import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge import ClientDisconnected
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool

from .outcomes import count_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ashapp.bridge.messages.types import Environ, Scope, StartResponse, WsgiApplication
    from ashapp.bridge.request.uploads.input_stream import InputStream

__all__ = ["Caller", "Job", "bridge_for", "caller"]


class Caller(Protocol):
    """The thread that makes a request, and waits for work."""

    def submit(self, job: Job) -> None:
        """Take *job*, to run it on the caller's thread."""


# Set in the task that serves a request.
caller: ContextVar[Caller] = ContextVar("caller")


class Job(greenlet):
    """The WSGI call of one request, suspended after each chunk until the client wants the next.

    A greenlet also has a context of its own, so the request's does not become the test's.
    """

    def pause(self) -> bool:
        """Let the client's code go on; return whether it wants more."""
        assert self.parent is not None
        return bool(self.parent.switch())


def bridge_for(application: Any) -> WsgiToAsgi:
    """Return the bridge around *application*; a Flask application has the same one for all its requests."""
    if not isinstance(application, flask.Flask):
        return _WsgiBridge(application)
    # The application holds its bridge, so they end together.
    bridge: _FlaskBridge | None = vars(application).get("_bridge_of_tests")
    if bridge is None:
        bridge = _FlaskBridge(application)
        setattr(application, "_bridge_of_tests", bridge)  # noqa: B010
    return bridge


class _CallersThread(ThreadPool):
    """In place of the pool: no call waits, and none is taken back once the caller has it."""

    def submit(self, handoff: Callable[[], None]) -> None:
        caller.get().submit(Job(lambda _more: handoff()))


class _WsgiBridge(WsgiToAsgi):
    def __init__(self, application: Any) -> None:
        super().__init__(application)
        self.wsgi_application = _Paced(self.wsgi_application)
        self.service.pool = _CallersThread(self.threads.size)

    def build_environ(self, scope: Scope, body: InputStream) -> Environ:
        count_request()
        return super().build_environ(scope, body)


class _FlaskBridge(_WsgiBridge, FlaskToAsgi):
    pass


class _Paced:
    """A WSGI application whose response is made chunk by chunk, as the client reads it."""

    def __init__(self, application: WsgiApplication) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        iterable = self._application(environ, start_response)
        return iterable if isinstance(iterable, list | tuple) else _PacedBody(iterable)


class _PacedBody:
    def __init__(self, iterable: Iterable[bytes]) -> None:
        self._iterable = iterable

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._iterable:
            yield chunk
            current = getcurrent()
            if chunk and isinstance(current, Job) and not current.pause():
                raise ClientDisconnected("the test closed the response before its end")

    def close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            close()
