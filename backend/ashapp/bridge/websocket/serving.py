# SPDX-License-Identifier: MIT
"""Serves one ``websocket`` scope: as one call of the application, whose response may deny it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ashapp.bridge.admission.websockets import Websockets
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected, send_problem
from ashapp.bridge.messages.types import Receive, Scope, Send
from ashapp.bridge.request.thread_call import ThreadCall
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_call import WsgiCall
from ashapp.bridge.websocket.connection import CONNECTION, Connection
from ashapp.bridge.websocket.handshake import as_request
from ashapp.bridge.websocket.libraries.relay import Relay, tolerating_any_end
from ashapp.bridge.websocket.state import State

__all__ = ["serve"]

# Seconds that the server has to take the last message of a WebSocket whose task it has cancelled.
_FAREWELL = 1.0


async def serve(
    websockets: Websockets, prepare: Callable[..., WsgiCall], scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve *scope* until the application has done with it. *websockets* has counted it as open.

    *prepare* makes the call of the application, from the scope of the handshake's request, its body, and more
    entries for its environ.
    """
    await receive()  # websocket.connect
    connection = Connection(scope, receive, send, asyncio.get_running_loop())
    leave, face, call = websockets.leave, connection, None
    websockets.departures.members.add(connection)
    try:
        websockets.check()
        made = prepare(as_request(scope), _NoBody(connection), {"asgi.scope": scope, CONNECTION: connection})
        face = _face(made, connection)
        if isinstance(made, ThreadCall):
            websockets.take_thread()
            leave = websockets.leave_thread
            made.submit()
        call = made
        await call.respond(face.answer)
        await connection.close(connection.final_code)
        await connection.until_denied()
    except BaseException as error:
        if not await _settle(connection, face, error):
            raise
    finally:
        face.stop()
        websockets.departures.members.discard(connection)
        if call is None:
            leave()
        else:
            call.when_ended(leave)


def _face(call: WsgiCall, connection: Connection) -> Any:
    """Return what the application talks to: *connection*, or a relay if a library takes the socket."""
    if not call.service.wants_socket(call.environ):
        return connection
    call.application = tolerating_any_end(call.application)
    return Relay(call.environ, connection)


async def _settle(connection: Connection, face: Any, error: BaseException) -> bool:
    """Answer or close the WebSocket whose call has raised *error*; say whether the server need not know."""
    match error:
        case RequestRejected():
            await send_problem(connection.answer, error.status, error.detail, error.headers)
            await connection.until_denied()
        case ClientDisconnected():
            pass
        case asyncio.CancelledError():
            with suppress(TimeoutError):  # its client takes nothing
                async with asyncio.timeout(_FAREWELL):
                    await connection.close(1012)
        case Exception():
            if isinstance(face, Relay):
                await face.finish()
            if connection.state is State.OPEN:  # else the server answers with 500
                await connection.close(1011)
    return isinstance(error, RequestRejected | ClientDisconnected)


class _NoBody(InputStream):
    """The empty body of a handshake. *connection* watches its client."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.receive_event, connection.loop)
        self._connection = connection

    def watch(self, on_disconnect: Callable[[], None], *, read_ahead: int = 0) -> None:  # noqa: ARG002
        """Call *on_disconnect* when the handler is abandoned; see ``Connection``."""
        self._connection.watch(on_disconnect)

    def next_chunk(self) -> bytes:
        """Return the end of the body."""
        return b""
