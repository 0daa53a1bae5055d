# SPDX-License-Identifier: MIT
"""``websocket``: URL rules of a Flask application whose handlers speak WebSocket."""

import asyncio
import functools
import inspect
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

import flask
from werkzeug.exceptions import HTTPException

from ashapp.bridge.concurrency.futures import as_coroutine
from ashapp.bridge.concurrency.greenlets.current import current_greenlet, run_as_part
from ashapp.bridge.loop_or_thread.views import ViewKind, is_async, kind_of
from ashapp.bridge.messages.attributes import attribute_of
from ashapp.bridge.websocket.connection import CONNECTION, Connection
from ashapp.bridge.websocket.handler_sockets import BlockingWebSocket, WebSocket
from ashapp.bridge.websocket.state import State, WebSocketClosed

__all__ = ["is_native", "websocket"]

F = TypeVar("F", bound="Callable[..., Any]")

_NATIVE = "_ashapp_websocket"


def websocket(
    app_or_blueprint: flask.Flask | flask.Blueprint,
    rule: str,
    *,
    endpoint: str | None = None,
    max_size: int | None = None,
    **options: Any,
) -> Callable[[F], F]:
    """Let the decorated handler serve the WebSockets of *rule*, as ``add_url_rule`` does with views.

    The handler is called with the WebSocket and the arguments of the URL: a ``WebSocket`` if it is an ``async
    def``, else a ``BlockingWebSocket``, on a thread. Until the handler accepts, its return value is a
    response that denies the handshake. So is that of a hook, and an ``abort``. After that, the WebSocket is
    closed with 1000 when the handler returns, and with 1011 when it raises.

    *max_size* is the longest message in bytes: a longer one closes the WebSocket with 1009. None: the limit
    is the server's. *endpoint* and *options* are those of ``add_url_rule``.

    Raises:
        ValueError: *max_size* is less than one.
    """
    if max_size is not None and max_size < 1:
        raise ValueError(f"max_size is {max_size!r}: expected 1 or more bytes, or None")

    def decorate(handler: F) -> F:
        make_view = _view if isinstance(handler, Hashable) else _view.__wrapped__
        view = make_view(handler, max_size)
        app_or_blueprint.add_url_rule(rule, endpoint, view, websocket=True, **options)
        return handler

    return decorate


@lru_cache(maxsize=16)
def _view(handler: Callable[..., Any], max_size: int | None) -> Callable[..., Any]:
    """Return the view of *handler*, the same for each of its rules: an endpoint has one view."""
    make_view = _async_view if is_async(handler) else _sync_view
    view = make_view(handler, max_size)
    setattr(view, _NATIVE, True)
    return view


def is_native(view: object) -> bool:
    """Say whether *view* was made by ``websocket``."""
    return bool(attribute_of(view, _NATIVE))


def _async_view(handler: Callable[..., Any], max_size: int | None) -> Callable[..., Any]:
    @functools.wraps(handler)
    async def view(**arguments: Any) -> Any:
        result = None
        with _connection(max_size) as connection:
            loop = asyncio.get_running_loop()
            coroutine = handler(WebSocket(connection), **arguments)
            greenlet = current_greenlet()
            if greenlet is not None and not _has_async_processors():
                # A switch to the greenlet for each message would cost more than all else for that message.
                part = run_as_part(coroutine, greenlet.driver)
                coroutine = loop.create_task(part, context=greenlet.gr_context)
            result = await coroutine
            if isinstance(result, SystemExit | KeyboardInterrupt | GeneratorExit):
                raise result
        return _response(connection, result)

    return view


def _has_async_processors() -> bool:
    """Say whether a context processor of templates is async."""
    processors = flask.current_app.template_context_processors.values()
    return any(is_async(processor) for functions in processors for processor in functions)


def _sync_view(handler: Callable[..., Any], max_size: int | None) -> Callable[..., Any]:
    is_async_inside = kind_of(handler) in {ViewKind.DECORATED_ASYNC, ViewKind.ASYNC_CALLABLE}
    face = WebSocket if is_async_inside else BlockingWebSocket

    @functools.wraps(handler)
    def view(**arguments: Any) -> Any:
        result = None
        with _connection(max_size) as connection:
            result = handler(face(connection), **arguments)
            if inspect.isawaitable(result):
                result = flask.current_app.async_to_sync(as_coroutine)(result)
        return _response(connection, result)

    return view


@contextmanager
def _connection(max_size: int | None) -> Iterator[Connection]:
    connection: Connection | None = flask.request.environ.get(CONNECTION)
    if connection is None:
        raise RuntimeError("a WebSocket of ashapp.websocket is served by FlaskToAsgi alone")
    connection.max_size = max_size
    try:
        yield connection
    except Exception as error:
        if _is_usual(error):
            return
        is_clients = isinstance(error, HTTPException) and (error.code or 500) < 500
        connection.final_code = 1008 if is_clients else 1011
        rule = flask.request.url_rule
        error.add_note(f"In the WebSocket handler of {rule and rule.rule}")
        raise


def _is_usual(error: Exception) -> bool:
    """Say whether *error* is only the end of the WebSocket, in one task or in several of a group."""
    if isinstance(error, ExceptionGroup):
        return error.split(WebSocketClosed)[1] is None
    return isinstance(error, WebSocketClosed)


def _response(connection: Connection, result: Any) -> Any:
    if connection.state is State.CONNECTING and result is not None:
        return result
    return flask.Response(status=200 if connection.is_accepted else 403)
