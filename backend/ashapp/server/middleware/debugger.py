# SPDX-License-Identifier: MIT
"""The debugger of ``ashapp dev``: Werkzeug's, which runs a developer's code in the frames of an error.

Theory of operation. In debug mode Flask does not handle exceptions of views. `Traced` is around the
application's own ``wsgi_app``, and answers with the page of the debugger. It is marked as nonblocking, so
async views stay on the loop, as in production. The requests of that page run code, or wait after a wrong PIN.
They don't reach the application: `DebuggerFront` serves them on threads.

Code is run only for a peer on this machine that is no proxy, names this machine as the host (Werkzeug's
protection against DNS rebinding), and knows the PIN from the terminal. Without a PIN no code is run at all.
``ashapp serve`` never makes a `Debugger`.
"""

import ipaddress
import logging
import os
import traceback
from collections.abc import Awaitable, Iterable, Mapping
from types import TracebackType
from typing import Any

from flask import Flask
from werkzeug.debug import DebuggedApplication
from werkzeug.exceptions import NotFound

from ashapp.bridge import ClientDisconnected, WsgiToAsgi, nonblocking
from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.types import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    WsgiApplication,
)
from ashapp.server.discovery.targets import find_application
from ashapp.server.errors import StartupError

__all__ = ["Debugger", "DebuggerFront", "Traced", "find_or_explain"]

_log = logging.getLogger("ashapp.server")

_OWN = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")  # noqa: PTH118, PTH120 - as in frames
_FAILED = "ashapp.failed"
_PRESERVE = "werkzeug.debug.preserve_context"
# Headers of proxies: with one of them the peer is not the client.
_FORWARDED = {b"forwarded", b"via", b"x-forwarded-for", b"x-real-ip"}
# Threads for the requests of the page.
_THREADS = 4


class Debugger(DebuggedApplication):
    """Answers for an application that has raised an exception, and the requests of the page that shows it."""

    def __init__(self) -> None:
        super().__init__(self._raise, evalex=True, console_path="", pin_logging=False)
        self.evalex = self.pin is not None

    def answer(
        self, error: Exception, contexts: list[Any], environ: Environ, start_response: Any
    ) -> Iterable[bytes]:
        """Answer with the page for *error*. The page runs code in *contexts*."""
        environ[_FAILED] = error, contexts
        return self.debug_application(environ, start_response)

    def around(self, found: object, app: Flask | None) -> object:
        """Return *found* with the debugger around it. *app*, its Flask application, gets debug mode."""
        if app is not None:
            app.debug = True
            app.wsgi_app = Traced(app.wsgi_app, self)  # type: ignore[method-assign]
            return found
        return found if isinstance(found, WsgiToAsgi) else Traced(found, self)  # type: ignore[arg-type]

    def in_front_of(self, app: AsgiApplication) -> AsgiApplication:
        """Return *app* behind a layer that serves the requests of the page."""
        return DebuggerFront(app, self)

    def _raise(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        __traceback_hide__ = True
        if _FAILED not in environ:  # a request of a page that another process has made
            return NotFound()(environ, start_response)
        error, contexts = environ.pop(_FAILED)
        for context in contexts if self.evalex else ():
            environ[_PRESERVE](context)
        raise error


@nonblocking
class Traced:
    """The layer around *wsgi_app*: its exceptions are answered by *debugger*."""

    def __init__(self, wsgi_app: WsgiApplication, debugger: Debugger) -> None:
        self.wsgi_app = wsgi_app
        self._debugger = debugger

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Serve a request."""
        __traceback_hide__ = True
        contexts: list[Any] = []
        environ[_PRESERVE] = contexts.append
        try:
            return self.wsgi_app(environ, start_response)
        except (ClientDisconnected, RequestRejected):
            raise
        except Exception as error:
            if "HTTP_SEC_WEBSOCKET_KEY" in environ or not _is_loopback(environ.get("REMOTE_ADDR")):
                raise
            return self._debugger.answer(error, contexts, environ, start_response)


class DebuggerFront:
    """An ASGI application in front of *app* that serves the requests of the debugger's page.

    If the startup of *app* fails, it serves the reason.
    """

    def __init__(self, app: AsgiApplication, debugger: Debugger) -> None:
        self._app = app
        self._debugger = WsgiToAsgi(debugger, threads=_THREADS)
        self._failure: str | None = None

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve *scope*."""
        if scope["type"] == "lifespan":
            return self._start(scope, receive, send)
        if scope["type"] == "http" and _is_direct(scope):
            if self._failure is not None:
                return self._tell_failure(send)
            if b"__debugger__=yes" in scope["query_string"]:
                return self._debugger(scope, receive, send)
        return self._app(scope, receive, send)

    async def _start(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_go_on(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                self._failure = message.get("message", "")
                _log.error("The startup of the application failed: %s", self._failure)
                message = {"type": "lifespan.startup.complete"}
            await send(message)

        await self._app(scope, receive, send_and_go_on)

    async def _tell_failure(self, send: Send) -> None:
        hint = "The startup of the application failed. It is tried again when a file changes."
        text = f"{hint}\n\n{self._failure}\n"
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})


def _is_direct(scope: Mapping[str, Any]) -> bool:
    client = scope.get("client")
    is_passed_on = any(name in _FORWARDED for name, _ in scope["headers"])
    return client is not None and _is_loopback(client[0]) and not is_passed_on


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def find_or_explain(target: str) -> object:
    """Find the application that *target* names, or log why there is none, and return one that raises that."""
    try:
        return find_application(target)
    except StartupError as refusal:
        error = refusal.__cause__ or refusal
        trace = _own_trace(error.__traceback__)
        shown = "" if trace is None else "\n" + "".join(traceback.format_tb(trace)).rstrip()
        _log.error("%s%s", refusal.message, shown)
        told = error if isinstance(error, Exception) else RuntimeError(f"it exits: {error}")

        def fail(_environ: Environ, _start_response: Any) -> Iterable[bytes]:
            __traceback_hide__ = True
            raise told.with_traceback(trace)

        return fail


def _own_trace(trace: TracebackType | None) -> TracebackType | None:
    """Return *trace* without its first part, in this package and the import system."""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith(("<frozen", _OWN)) and "importlib" not in name:
            break
        trace = trace.tb_next
    return trace
