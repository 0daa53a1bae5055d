# SPDX-License-Identifier: MIT
"""uvicorn's protocol of a WebSocket, with less to do for each message.

Theory of operation. uvicorn pauses reading at each message, and resumes it when the application has received
the message: that takes two system calls. Here it does not pause while the application waits for a message.
Messages are counted for the observation of the WebSocket here, where their sizes are known, not in coroutines
around ``receive`` and ``send``. The queue and the event of each WebSocket are small.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import CloseCode, Frame, Opcode

from ashapp.server.protocols.head import EARLY
from ashapp.server.protocols.internals import LeanEvent
from ashapp.server.protocols.limits import Refusal

if TYPE_CHECKING:
    from ashapp.observe.socket_observation import SocketObservation

__all__ = ["WebSocketProtocol"]


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, for the WebSocket of one connection."""

    takes_note = True

    #: Gets notes about the WebSocket; set by the observer.
    observation: "SocketObservation | None" = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue: Any = _Queue(self.loop)
        self.writable = LeanEvent(is_set=True)

    async def receive(self) -> Any:
        """Return the next event; see "WebSocket" of the ASGI specification."""
        queue = self.queue
        while not queue.events:
            await queue.wait()
        event = queue.events.pop(0)
        if self.read_paused and not queue.events:
            self.read_paused = False
            self.transport.resume_reading()
        if event["type"] == "websocket.disconnect" and self.observation is not None:
            self.observation.note_end(event)
        return event

    async def send(self, message: Any) -> None:
        """Send *message*; see "WebSocket" of the ASGI specification.

        Raises:
            OSError: the client has gone.
            RuntimeError: *message* does not fit the state of the WebSocket.
        """
        conn, observation = self.conn, self.observation
        if (
            message["type"] != "websocket.send"
            or not self.handshake_complete
            or self.close_sent
            or self.initial_response is not None
            or self.disconnected
            or not self.writable.is_set()
        ):
            if observation is not None:
                message = observation.note(message)
            await super().send(message)
            return
        text = message.get("text")
        try:
            if text is None:
                data = message["bytes"]
                conn.send_binary(data)
            else:
                data = text.encode()
                conn.send_text(data)
        except InvalidState as error:  # the client has closed
            raise ClientDisconnected from error
        if observation is not None:
            observation.note_sent(len(data))
        self.transport.write(b"".join(conn.data_to_send()))

    def send_receive_event_to_app(self) -> None:
        """Queue the message. Pause reading, unless the application waits for the message."""
        if self.observation is not None and not self.close_sent:
            frames = self.frames
            self.observation.note_received(len(frames[0]) if len(frames) == 1 else sum(map(len, frames)))
        if self.read_paused or not self.queue.waiters:
            super().send_receive_event_to_app()
        else:
            self.read_paused = True  # or uvicorn would pause it
            super().send_receive_event_to_app()
            self.read_paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the connection has ended: with 1006 if the client has sent no close frame."""
        super().connection_lost(exc)  # which calls it 1005
        if self.conn.close_rcvd is None:
            self.queue.events[-1]["code"] = CloseCode.ABNORMAL_CLOSURE.value

    def handle_parser_exception(self) -> None:
        """Close the connection because of an error of the client.

        A close frame is a control frame, which may be between the fragments of a message (RFC 6455, 5.4).
        websockets takes it for an error, and has made a close frame with 1002, unless one was sent before.
        """
        if not self.handshake_complete:
            self.transport.write(Refusal(400, EARLY).response(self.default_headers))
            self.transport.close()
            return
        closed = None if self.close_sent else self.conn.close_rcvd
        if closed is not None:
            *before, _error, _end = self.conn.data_to_send()
            data = b"" if closed.code == CloseCode.NO_STATUS_RCVD else closed.serialize()
            self.transport.write(b"".join(before) + Frame(Opcode.CLOSE, data).serialize(mask=False))
            self.conn.close_sent = closed
        super().handle_parser_exception()
        self.close_sent = closed is None  # else it is the client that has closed


class _Queue:
    """A queue of events without a bound, and without the four deques of asyncio's."""

    __slots__ = ("_loop", "events", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.events: list[Any] = []
        #: Called when there is an event.
        self.waiters: list[asyncio.Future[None]] = []

    def put_nowait(self, event: Any) -> None:
        """Add *event*."""
        self.events.append(event)
        while self.waiters:
            waiter = self.waiters.pop()
            if not waiter.done():
                waiter.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Return the callback for the next event."""
        waiter = self._loop.create_future()
        self.waiters.append(waiter)
        return waiter
