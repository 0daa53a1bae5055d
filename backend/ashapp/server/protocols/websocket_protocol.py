# SPDX-License-Identifier: MIT
"""uvicorn's protocol of a WebSocket, with less to do for each message, and bounds for what a client may send.

Theory of operation. uvicorn pauses reading at each message, and resumes it when the application has received
the message: that takes two system calls. Here it does not pause while the application waits for a message.
Messages are counted for the observation of the WebSocket here, where their sizes are known, not in coroutines
around ``receive`` and ``send``. The queue and the event of each WebSocket are small.

One read may hold 40,000 frames, or 16 compressed messages of 16 MiB each. So it is parsed in pieces, in turns
with other connections (see ``turns``), and only as far as the application receives.

To close a connection whose client still sends resets it. The client then loses the close frame that says why.
So for a while what it still sends is read, and dropped (as RFC 9112, 9.6 says of HTTP).
"""

import time
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.protocol import State

from ashapp.server.protocols.delivery import Delivery, unsent
from ashapp.server.protocols.head import EARLY
from ashapp.server.protocols.internals import LeanEvent, LeanQueue
from ashapp.server.protocols.limits import LINGER, Refusal
from ashapp.server.protocols.turns import Backlog, turns_on

if TYPE_CHECKING:
    from ashapp.observe.socket_observation import SocketObservation

__all__ = ["WebSocketProtocol"]

# Bytes that are parsed at once, 700 frames at most, and behind others that were quick.
_AT_ONCE, _LONGEST = 4096, 32768
# Seconds for which longer data is parsed before it has to take turns.
_QUICK = 0.002


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's, for the WebSocket of one connection."""

    takes_note = True

    #: Gets notes about the WebSocket; set by the observer.
    observation: "SocketObservation | None" = None
    # Bytes that are not parsed yet, and whether they wait for their turn.
    _backlog: Backlog | None = None
    _has_turns = False
    # Pongs for the last pings, while the client reads nothing.
    _pongs = b""
    # Whether reading has been paused since the last ping that was not answered.
    _was_paused = False
    _delivery: Delivery | None = None
    # Whether the client has sent something wrong: then nothing more is parsed.
    _has_failed = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue: Any = LeanQueue(self.loop)
        self.writable = LeanEvent(is_set=True)

    async def receive(self) -> Any:
        """Return the next event; see "WebSocket" of the ASGI specification."""
        queue = self.queue
        while not queue.events:
            await queue.wait()
        event = queue.events.pop(0)
        if (self.read_paused or self._backlog is not None) and not queue.events:
            self._read_on()
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
            self._go_on()
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

    def data_received(self, data: bytes) -> None:
        """Parse *data*: in turns with other connections, if it takes long."""
        if self._has_failed:
            return
        if self._backlog is not None:
            self._backlog.data += data
            self.transport.pause_reading()
        elif len(data) <= _AT_ONCE or not self.handshake_initiated:
            super().data_received(data)
        else:
            rest = self._parse_begin(memoryview(data))
            if rest:
                self._backlog = Backlog(rest)
                self.transport.pause_reading()
                self._go_on()

    def _parse_begin(self, data: memoryview) -> memoryview:
        """Parse *data* for a moment, and return the rest."""
        end, size = time.monotonic() + _QUICK, _AT_ONCE
        # Compressed data may become a thousand times as long.
        while data and time.monotonic() < end and not (self.conn.extensions and self._is_held()):
            super().data_received(data[:size])  # type: ignore[arg-type]
            if self._has_failed:
                return data[:0]
            data, size = data[size:], min(size * 2, _LONGEST)
        return data

    def take_turn(self) -> bool:
        """Parse a piece of what waits; return whether there is more to be parsed by now."""
        backlog = self._backlog
        if backlog is not None and not self._is_held():
            backlog.pass_on(super().data_received)
            if self._has_failed or not backlog.data:
                self._backlog = None
                if isinstance(self.transport, _Lost):
                    self._tell_loss()
                elif not self.read_paused:
                    self.transport.resume_reading()
        self._has_turns = self._backlog is not None and not self._is_held()
        return self._has_turns

    def _go_on(self) -> None:
        if self._backlog is not None and not self._has_turns and not self._is_held():
            self._has_turns = True
            turns_on(self.loop).add(self)

    def _is_held(self) -> bool:
        """Say whether the application has yet to receive earlier messages. After its close it need not."""
        return bool(self.queue.events) and not self.close_sent

    def _read_on(self) -> None:
        self.read_paused = False
        self._was_paused = True
        if self._backlog is None:
            self.transport.resume_reading()
        else:
            self._go_on()

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment. Many short or empty ones must not take more memory than their bytes."""
        if len(self.frames) == 1:
            self.frames.append(bytearray())  # type: ignore[arg-type]
        self.frames[-1] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer a ping. If the client reads nothing, only the last ones are answered (RFC 6455, 5.5.3)."""
        if self._has_failed:
            return
        if self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        else:
            self._pongs = b"".join(self.conn.data_to_send()) or self._pongs

    def resume_writing(self) -> None:
        """Go on to send."""
        super().resume_writing()
        if self.conn.state is State.OPEN:
            self.transport.write(self._pongs)
        self._pongs = b""

    def send_keepalive_ping(self) -> None:
        """Send a ping, and watch how the client takes what is before it."""
        self._delivery = Delivery(self.transport) if unsent(self.transport) else None
        if self._delivery is not None:
            self._delivery.look(0)
        super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        """Close the connection, unless the ping or the pong may be behind messages that wait to be read."""
        is_taking = self._delivery is not None and not self._delivery.look(1)
        if is_taking or self.read_paused or self._backlog is not None or self._was_paused:
            self._was_paused = False
            self.pong_timer = None
            self.schedule_ping()
        else:
            super().keepalive_timeout()
            self.disconnected = True

    def send_receive_event_to_app(self) -> None:
        """Queue the message. Pause reading, unless the application waits for the message."""
        data = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        if self.observation is not None:
            self.observation.note_received(len(data))
        is_awaited = bool(self.queue.waiters)
        if self.curr_msg_data_type == "text":
            try:
                text = data.decode()
            except UnicodeDecodeError:
                self._refuse_text()
                return
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
        else:
            self.queue.put_nowait({"type": "websocket.receive", "bytes": data})
        if not (self.read_paused or is_awaited):
            self.read_paused = True
            self.transport.pause_reading()

    def _refuse_text(self) -> None:
        """Close with 1007. Frames behind the message may have been parsed: their answers are dropped."""
        self.conn.fail(CloseCode.INVALID_DATA)
        self.conn.data_to_send()
        self.conn.close_sent = Close(CloseCode.INVALID_DATA, "")
        self._fail(Frame(Opcode.CLOSE, self.conn.close_sent.serialize()).serialize(mask=False))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell of the end, behind the messages that have been read: TLS reads ahead."""
        super().connection_lost(exc)
        self.transport = _Lost()  # type: ignore[assignment]
        self.queue.events.pop()  # says 1005
        if self._backlog is None:
            self._tell_loss()
        else:
            self._go_on()

    def _tell_loss(self) -> None:
        self._tell_end(self.conn.close_rcvd or Close(CloseCode.ABNORMAL_CLOSURE, ""))

    def shutdown(self) -> None:
        """Close with 1012, or deny the handshake. A client that has been told has `LINGER` seconds."""
        if not self.handshake_complete:
            super().shutdown()
        elif not self.transport.is_closing():
            if self.conn.state is State.OPEN:
                self.conn.send_close(CloseCode.SERVICE_RESTART)
                self._tell_end(self.conn.close_sent)
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.close_sent = True
            self._await_end()

    def handle_parser_exception(self) -> None:
        """Close the connection because of an error of the client.

        A close frame is a control frame, which may be between the fragments of a message (RFC 6455, 5.4).
        websockets takes it for an error, and has made a close frame with 1002, unless one was sent before.
        """
        if not self.handshake_complete:
            self._has_failed = True
            self.transport.write(Refusal(400, EARLY).response(self.default_headers))
            self.transport.close()
            return
        closed = None if self.close_sent else self.conn.close_rcvd
        output = self.conn.data_to_send()
        self.handle_events()  # what came before
        if closed is not None:
            data = b"" if closed.code == CloseCode.NO_STATUS_RCVD else closed.serialize()
            output[-2:] = [Frame(Opcode.CLOSE, data).serialize(mask=False)]
            self.conn.close_sent = closed
        if not self._has_failed:
            self._fail(b"".join(output))

    def _fail(self, output: bytes) -> None:
        """Send *output*, which ends with a close frame, and nothing after it."""
        self._has_failed = self.close_sent = True
        self._tell_end(self.conn.close_sent)
        self.transport.write(output)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._await_end()

    def _tell_end(self, close: Any) -> None:
        event = {"type": "websocket.disconnect", "code": int(close.code), "reason": close.reason}
        self.queue.put_nowait(event)

    def _await_end(self) -> None:
        """Drop what the client still sends, until it closes the connection, or for `LINGER` seconds."""
        self.disconnected = True  # to the application
        self.stop_keepalive()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(LINGER, self.transport.close)
        self._read_on()


class _Lost:
    """Stands for the transport of a connection that has ended."""

    def is_closing(self) -> bool:
        return True

    def _ignore(self, *_data: bytes) -> None: ...

    write = can_write_eof = pause_reading = resume_reading = close = _ignore
