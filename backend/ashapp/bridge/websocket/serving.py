# SPDX-License-Identifier: MIT
"""Serves one ``websocket`` scope: as one call of the application, whose response may deny it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected, send_problem
from ashapp.bridge.request.thread_call import ThreadCall
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.websocket.connection import CONNECTION, Connection
from ashapp.bridge.websocket.handshake import as_request
from ashapp.bridge.websocket.libraries.relay import Relay, tolerating_any_end
from ashapp.bridge.websocket.state import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.admission.departures import Departures
    from ashapp.bridge.admission.websockets import Websockets
    from ashapp.bridge.messages.types import Environ, Receive, Scope, Send
    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["Bridge", "serve"]

# Seconds that the server has to take the last message of a WebSocket whose task it has cancelled.
_FAREWELL = 1.0


class Bridge(Protocol):
    """What serves the WebSocket."""

    def build_environ(self, scope: Scope, body: InputStream) -> Environ:
        """Return the environ for an ``http`` scope; see ``WsgiToAsgi``."""
        ...

    #: How many WebSockets there are, and may be.
    websockets: Websockets
    #: What is told to leave when the service ends.
    departures: Departures

    def wants_socket(self, environ: Environ) -> bool:
        """Say whether the application may take the socket of a WebSocket."""
        ...

    def make_websocket_call(self, environ: Environ, body: InputStream) -> WsgiCall:
        """Return the call that serves a WebSocket."""
        ...


async def serve(bridge: Bridge, scope: Scope, receive: Receive, send: Send) -> None:
    """Serve *scope*, which has been counted as open, until the application has done with it."""
    await receive()  # websocket.connect
    loop = asyncio.get_running_loop()
    connection = Connection(scope, receive, send, loop)
    leave = bridge.websockets.leave
    face: Connection | Relay = connection
    call = None
    bridge.departures.members.add(connection)
    try:
        bridge.websockets.check()
        made = _make_call(bridge, scope, connection)
        if bridge.wants_socket(made.environ):
            face = Relay(made.environ, connection)
            made.application = tolerating_any_end(made.application)
        if isinstance(made, ThreadCall):
            bridge.websockets.take_thread()
            leave = bridge.websockets.leave_thread
            made.submit()
        call = made
        await call.respond(face.answer)
        await connection.close(connection.final_code)
        await connection.until_denied()
    except RequestRejected as rejection:
        await send_problem(connection.answer, rejection.status, rejection.detail, rejection.headers)
        await connection.until_denied()
    except ClientDisconnected:
        pass
    except asyncio.CancelledError:
        with suppress(TimeoutError):  # its client takes nothing
            async with asyncio.timeout(_FAREWELL):
                await connection.close(1012)
        raise
    except Exception:
        if connection.state is State.OPEN:  # else the server answers with 500
            await connection.close(1011)
        raise
    finally:
        face.stop()
        bridge.departures.members.discard(connection)
        if call is None:
            leave()
        else:
            call.when_ended(leave)


def _make_call(bridge: Bridge, scope: Scope, connection: Connection) -> WsgiCall:
    body = _NoBody(connection)
    environ = bridge.build_environ(as_request(scope), body)
    environ["asgi.scope"] = scope
    environ[CONNECTION] = connection
    return bridge.make_websocket_call(environ, body)


class _NoBody(InputStream):
    """The body of a handshake, which has none, and whose client is watched by *connection*."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.receive_event, connection.loop)
        self._connection = connection

    def watch(self, on_disconnect: Callable[[], None], *, read_ahead: int = 0) -> None:  # noqa: ARG002
        """Call *on_disconnect* when the handler is abandoned; see ``Connection``."""
        self._connection.watch(on_disconnect)

    def next_chunk(self) -> bytes:
        """Return the end of the body."""
        return b""
