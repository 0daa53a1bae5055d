# SPDX-License-Identifier: MIT
"""A connection with limits: what both protocols share.

Theory of operation. Nothing is done for each request: the state of a connection is read from attributes that
uvicorn sets anyway. A sweeper looks at each connection now and then. While the phase of the connection and
its cycle (the latest request) stay the same, its time adds up, until the limit of the phase is reached. The
kernel tells whether the client takes what is written (see `delivery`). While some of it is left, no other
time runs, not even after the end of the connection.

A request is refused in its turn: earlier requests of the connection are answered first, and nothing after it
is read. If its body is wrong, or does not come, the application is told that the client has gone. The client
gets the refusal if the response has not begun, else a truncated response. Then the sending half of the
connection is closed, and all that the client still sends is dropped for a while. If the connection were
closed at once, it would be reset, and the client could lose the answer (RFC 9112, 9.6). A connection also
ends in this way when its last response is complete before the body of the request.

A WebSocket has one of uvicorn's protocols, with time limits of its own for pings and for the closing
handshake. But at its end it waits without a limit until the client has taken what is left. So its connection
is watched here, too.
"""

import asyncio
import logging
import math
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.server import ServerState

from ashapp.server.protocols.delivery import Delivery, counted, has_arrived, queued
from ashapp.server.protocols.internals import HeldFlow
from ashapp.server.protocols.limits import AFTER_SENDING, ConnectionLimits, Phase, Refusal, patience, refused
from ashapp.server.protocols.sweeper import Sweeper
from ashapp.server.protocols.turns import Backlog, Beginnings, is_laborious, turns_on

__all__ = ["LimitedProtocol"]

_log = logging.getLogger("ashapp.server")

# Bytes that may wait for their turn: several reads.
_LONGEST_BACKLOG = 1 << 20

# Nobody is told of it.
_UNREAD = Refusal(400, "The request has been answered before its body was there.")

# The state that the connections of one server share.
_shared: WeakKeyDictionary[ServerState, tuple[Sweeper, Beginnings]] = WeakKeyDictionary()


class LimitedProtocol(asyncio.Protocol):
    """A mix-in for uvicorn's protocols, which set most of these attributes."""

    # With more attributes than uvicorn's, instances would not share the keys of their dicts: 2 KiB each.
    __slots__ = (
        "_backlog",
        "_beginnings",
        "_delivery",
        "_received_before",
        "_sweeper",
        "_waited",
        "_waits_for",
        "_websocket",
        "limits",
        "received",
        "refusal",
    )

    config: Config
    loop: asyncio.AbstractEventLoop
    server_state: ServerState
    connections: set[Any]
    transport: asyncio.Transport
    flow: Any
    client: tuple[str, int] | None
    cycle: Any
    pipeline: Any

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(**options)
        self.limits = limits
        #: Bytes received so far.
        self.received = 0
        #: The reason why nothing more is parsed; None while requests are accepted.
        self.refusal: Refusal | None = None
        self._backlog: Backlog | None = None
        self._websocket: Any = None
        self._waits_for: object = None
        self._waited = 0.0
        self._received_before = 0

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received, and not all of it."""
        raise NotImplementedError

    @property
    def served(self) -> Any:
        """The request that is being served, or the last one. ``cycle`` may be one that waits for its turn."""
        return self.cycle

    def connection_made(self, transport: Any) -> None:
        """Begin to watch the connection too."""
        super().connection_made(counted(transport, writes=not math.isinf(self.limits.stream_seconds)))
        self.flow = HeldFlow(self.transport)
        self._delivery = Delivery(self.transport)
        if self.server_state not in _shared:
            sweeper = Sweeper(self.loop, self.limits.interval)
            _shared[self.server_state] = sweeper, Beginnings(self.loop)
        self._sweeper, self._beginnings = _shared[self.server_state]
        self._sweeper.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop watching the connection."""
        self._sweeper.remove(self)
        self._forget_backlog()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Leave the connection to uvicorn's protocol for WebSocket, but go on watching it."""
        self._forget_backlog()
        super().handle_websocket_upgrade(*event)  # type: ignore[misc]
        self.cycle = None
        self._websocket = self.transport.get_protocol()
        if not getattr(self._websocket, "handshake_initiated", True):
            self._refuse_handshake()

    # -- what is received

    def data_received(self, data: bytes) -> None:
        """Parse *data*: in turns with other connections, if it takes long."""
        if self.refusal is not None:
            return
        if self._backlog is not None:
            self._backlog.data += data
            if len(self._backlog.data) > _LONGEST_BACKLOG:
                self.transport.abort()
        elif is_laborious(data):
            self._backlog = Backlog(data)
            self.flow.hold()
            turns_on(self.loop).add(self)
        else:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Parse *data* at once."""
        self.received += len(data)
        super().data_received(data)

    def take_turn(self) -> bool:
        """Parse a piece of what waits; return whether there is more."""
        backlog = self._backlog
        if backlog is None:
            return False
        backlog.pass_on(self.take)
        if self._websocket is not None and backlog.data:  # the other protocol must not miss a part
            self.transport.close()
        if backlog.data and self.refusal is None and not self.transport.is_closing():
            return True
        self._forget_backlog()
        return False

    def _forget_backlog(self) -> None:
        if self._backlog is not None:
            self._backlog = None
            if self.refusal is None:
                self.flow.release()

    # -- time

    def look(self, seconds: float) -> None:
        """Do what is due *seconds* after the last look; see `Sweeper`."""
        if self._websocket is not None and self._websocket not in self.connections:
            self._sweeper.remove(self)
            return
        is_sending = self._delivery.is_going_on
        if is_sending and self._delivery.look(seconds) >= self.limits.send_seconds:
            _log.info("The client %s does not read what is sent: connection aborted", self.client)
            self.transport.abort()
            return
        phase = self._phase()
        if is_sending and phase in AFTER_SENDING:
            phase = Phase.SENDING
        parts = getattr(self.transport, "writes", 0) if phase is Phase.STREAM else 0
        waits_for = (phase, self.cycle, parts)
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            self._wait_anew()
            return
        self._waited += seconds
        if self._waited >= patience(phase, self.limits, self.config.timeout_keep_alive):
            self._lose_patience(phase)

    def _phase(self) -> Phase:
        if self.transport.is_closing():
            return Phase.END
        if self._websocket is not None:
            return Phase.WEBSOCKET
        if self.flow.held:
            return Phase.TURN
        return Phase.LINGER if self.refusal is not None else self._phase_of_request()

    def _phase_of_request(self) -> Phase:
        cycle = self.cycle
        if cycle is None:
            return Phase.HEAD
        if cycle.response_complete:
            return Phase.HEAD if self.head_has_begun else Phase.IDLE
        if cycle.response_started:
            return Phase.STREAM
        is_awaited = cycle.more_body and not (cycle.waiting_for_100_continue or self.flow.read_paused)
        return Phase.BODY if is_awaited else Phase.RESPONSE

    def _wait_anew(self) -> None:
        self._waited, self._received_before = 0.0, self.received

    def _lose_patience(self, phase: Phase) -> None:
        limits = self.limits
        if phase is Phase.END:
            self.transport.abort()
        elif phase is Phase.BODY:
            if self.received - self._received_before < limits.body_window:
                late = f"Too little of the request body came within {limits.body_seconds:g} s."
                self.refuse(Refusal(408, late))
            self._wait_anew()
        elif phase is Phase.HEAD and self.head_has_begun:
            late = f"The head of the request was not complete after {limits.head_seconds:g} s."
            self.refuse(Refusal(408, late))
        elif phase is Phase.IDLE and queued(self.transport):
            self._waited = 0.0  # the client has not had the whole response yet
        elif phase in {Phase.STREAM, Phase.LINGER} or not self._has_just_arrived():
            if phase is Phase.STREAM:
                _log.info("A response to %s was silent for too long: connection closed", self.client)
            self.transport.close()

    def _has_just_arrived(self) -> bool:
        """Whether the kernel has a request that was not read yet."""
        return self.received == self._received_before and has_arrived(self.transport)

    # -- refusals

    def refuse(self, refusal: Refusal) -> None:
        """Answer the request that is being received with *refusal*, when it is its turn; then close.

        If its head has begun, the head is wrong; else the body is.
        """
        self.refusal = refusal
        refused[refusal.status] += 1
        _log.info("Refused a request of %s with %d: %s", self.client, refusal.status, refusal.detail)
        served = self.served
        if not self.head_has_begun and served is self.cycle:
            self._break_off(served, refusal)
        elif served is None or served.response_complete:
            self.answer(refusal)
        else:
            if not self.head_has_begun:
                self.pipeline.popleft()
            self.flow.hold()  # what follows may be endless, and is not even looked at

    def _break_off(self, cycle: Any, refusal: Refusal) -> None:
        # There is nothing to continue with: the application, which learns it late, would ask for more.
        cycle.waiting_for_100_continue = False
        if not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            self.flow.resume_writing()
        if cycle.response_started:
            self.transport.close()
        else:
            self.answer(refusal)

    def answer(self, refusal: Refusal) -> None:
        """Send *refusal*, and nothing after it."""
        self._read_on()
        self.transport.write(refusal.response(self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def end_unread(self) -> None:
        """End the connection behind a response, while the client still sends a body that nobody reads."""
        self.refusal = _UNREAD
        if self.transport.can_write_eof():
            self._read_on()
            self.transport.write_eof()
        else:  # TLS: the client would learn of the end too late
            self.transport.close()

    def _read_on(self) -> None:
        self.flow.release()
        self.flow.resume_reading()

    def _refuse_handshake(self) -> None:
        """Answer a handshake that the library refuses: uvicorn leaves it without an answer."""
        detail = "The WebSocket handshake can't be read: a field is too long, or it has a body."
        _log.info("Refused a WebSocket handshake of %s: %s", self.client, detail)
        answer = b"".join(self._websocket.conn.data_to_send())
        self.transport.write(answer or Refusal(400, detail).response(self.server_state.default_headers))
        self.transport.close()
