# SPDX-License-Identifier: MIT
"""What both limited protocols share: time limits, and the way a request is refused.

Theory of operation. Nothing of this runs while requests are served; the state of a connection is read from
what uvicorn keeps anyway. A sweeper looks at each connection now and then. What it waits for is told by its
phase and its cycle (the request that it has last begun to serve): as long as neither changes, the time that
it waits adds up, until the limit of that phase is reached. Whether the client takes what is written is asked
of the kernel (see `delivery`): as long as some of it is left, no other time runs, not even after its end.

A request is refused in its turn. If its head is wrong, those before it on the connection are answered first;
nothing after it is read. If its body is wrong, or does not come, the application is told that the client has
gone; the client gets the refusal if the response has not begun, and a truncated response else. Then the
sending half of the connection is closed, and what the client still sends is thrown away for a while: closing
at once would reset the connection, and the client could lose the answer before it reads it (RFC 9112, 9.6).
"""

import logging
import math
from enum import Enum, auto
from typing import Any

from uvicorn.config import Config

from ashapp.server.protocols.connection import delivery
from ashapp.server.protocols.connection.counting_transport import CountingTransport
from ashapp.server.protocols.connection.delivery import Delivery, is_tls
from ashapp.server.protocols.connection.lean_event import LeanEvent
from ashapp.server.protocols.connection.sweeper import Sweeper, sweeper_of
from ashapp.server.protocols.connection.turns import HeldFlow, TakesTurns
from ashapp.server.protocols.connection.upgraded import Upgraded
from ashapp.server.protocols.messages.limits import LINGER, ConnectionLimits
from ashapp.server.protocols.messages.refusal import Refusal, refused

__all__ = ["Limited", "Phase"]

_log = logging.getLogger("ashapp.server")


class Phase(Enum):
    """What a connection waits for."""

    #: The client, to begin or to complete the head of a request.
    HEAD = auto()
    #: The client, to send more of a body.
    BODY = auto()
    #: Its turn, when what has been received is taken in.
    TURN = auto()
    #: The application, to begin the response.
    RESPONSE = auto()
    #: The application, to go on with the response.
    STREAM = auto()
    #: The client, to take what is left of a response, or of the parts that there are so far.
    SENDING = auto()
    #: The client, to send another request; or to be done with a body that nobody reads any more.
    IDLE = auto()
    #: The client, to close a connection on which a request has been refused.
    LINGER = auto()
    #: The client, to close its half of a TLS connection that is closed here.
    END = auto()


# What begins only when the client has taken what there is.
_AFTER_SENDING = {Phase.HEAD, Phase.STREAM, Phase.IDLE, Phase.END}


class Limited(TakesTurns):
    """A mix-in for uvicorn's protocols, which set most of these attributes."""

    # Slots, for with more attributes than uvicorn's the instances would no longer share the keys of their
    # dicts: that costs a connection 2 KiB.
    __slots__ = (
        "_delivery",
        "_lingers",
        "_received_before",
        "_sweeper",
        "_waited",
        "_waits_for",
        "limits",
        "received",
    )

    config: Config
    connections: set[Any]
    client: tuple[str, int] | None
    cycle: Any
    limits: ConnectionLimits

    #: Bytes received so far.
    received: int
    _sweeper: Sweeper
    _delivery: Delivery
    _lingers: bool
    _waits_for: tuple[Phase, object, int] | None
    _waited: float
    _received_before: int

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(**options)
        self.limits = limits
        self.received = self._received_before = 0
        self._waits_for = None
        self._lingers = False
        self._waited = 0.0

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received, and not all of it."""
        raise NotImplementedError

    def limited_transport(self, transport: Any) -> Any:
        """Return what uvicorn is to take for the *transport* of the connection."""
        is_counted = math.isinf(self.limits.stream_seconds) and delivery.acknowledges(transport)
        return transport if is_counted and not is_tls(transport) else CountingTransport(transport)

    def begin(self) -> None:
        """Begin to look after the connection."""
        self.flow = HeldFlow(self.transport)
        self.flow._is_writable_event = LeanEvent(is_set=True)  # noqa: SLF001 - see `LeanEvent`
        self._delivery = Delivery(self.transport)
        self._sweeper = sweeper_of(self.server_state, self.loop, self.limits.interval)
        self._sweeper.add(self)

    def end(self) -> None:
        """Look after the connection no longer: it is lost, or has another protocol."""
        self._sweeper.remove(self)
        self.forget_backlog()

    def shutdown(self) -> None:
        """End the connection with the response that is being made, or at once.

        h11 would also be told, which it refuses after a response that it has not written.
        """
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def watch_upgraded(self) -> None:
        """Let what is left to limit be limited, where another protocol has taken over."""
        Upgraded(self.transport, self.server_state, self.limits, self._sweeper)

    # -- time

    def look(self, seconds: float) -> None:
        """Take note that *seconds* have gone by, and do what is due; see `Swept`."""
        is_sending = self._delivery.is_going_on
        if is_sending and self._delivery.look(seconds) >= self.limits.send_seconds:
            _log.info("The client %s does not read its response: connection aborted", self.client)
            self.transport.abort()
            return
        phase = self._phase(is_sending=is_sending)
        waits_for = (phase, self.cycle, self._parts_sent(phase))
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            self._waited, self._received_before = 0.0, self.received
            return
        self._waited += seconds
        if phase is Phase.BODY:
            self._look_at_body()
        elif self._waited >= self._patience(phase):
            self._lose_patience(phase)

    def _phase(self, *, is_sending: bool) -> Phase:
        cycle = self.cycle
        if self.transport.is_closing():
            phase = Phase.END
        elif self.flow.held:
            phase = Phase.TURN
        elif self.refusal is not None:  # until it is its turn, it waits for responses to earlier requests
            phase = Phase.LINGER if self._lingers else Phase.RESPONSE
        elif cycle is None or cycle.response_complete:
            phase = Phase.HEAD if cycle is None or self.head_has_begun else Phase.IDLE
        elif cycle.more_body and not (
            cycle.response_started or cycle.waiting_for_100_continue or self.flow.read_paused
        ):
            phase = Phase.BODY
        else:
            phase = Phase.STREAM if cycle.response_started else Phase.RESPONSE
        return Phase.SENDING if is_sending and phase in _AFTER_SENDING else phase

    def _patience(self, phase: Phase) -> float:
        return {
            Phase.HEAD: self.limits.head_seconds,
            Phase.IDLE: float(self.config.timeout_keep_alive),
            Phase.STREAM: self.limits.stream_seconds,
            Phase.LINGER: LINGER,
            Phase.END: LINGER,
        }.get(phase, math.inf)

    def _parts_sent(self, phase: Phase) -> int:
        return getattr(self.transport, "writes", 0) if phase is Phase.STREAM else 0

    def _lose_patience(self, phase: Phase) -> None:
        if phase is Phase.END:
            self.transport.abort()
            return
        if phase is Phase.STREAM:
            _log.info("A response to %s was silent for too long: connection closed", self.client)
        if phase is Phase.HEAD and self.head_has_begun:
            seconds = self.limits.head_seconds
            late = Refusal(408, f"The head of the request was not complete after {seconds:g} s.")
            self.refuse(late, of_head=True)
        elif phase is Phase.IDLE and delivery.queued(self.transport):
            self._waited = 0.0  # the client has not had the whole response yet
        elif not self._is_arriving(phase):
            self.transport.close()

    def _is_arriving(self, phase: Phase) -> bool:
        """Whether a request has just come to a connection on which nothing came for so long."""
        is_idle = phase in {Phase.HEAD, Phase.IDLE} and self.received == self._received_before
        return is_idle and delivery.has_arrived(self.transport)

    def _look_at_body(self) -> None:
        if self._waited < self.limits.body_seconds:
            return
        if self.received - self._received_before < self.limits.body_window:
            detail = f"Too little of the request body came within {self.limits.body_seconds:g} s."
            self.refuse(Refusal(408, detail), of_head=False)
        self._waited, self._received_before = 0.0, self.received

    # -- refusals

    def refuse(self, refusal: Refusal, *, of_head: bool) -> None:
        """Answer the request that is being received with *refusal*, when it is its turn; then close.

        *of_head* says whether its head is refused, else it is the body of the one that has been begun.
        """
        self.refusal = refusal
        refused[refusal.status] += 1
        _log.info("Refused a request of %s with %d: %s", self.client, refusal.status, refusal.detail)
        cycle = self.cycle
        if not of_head:
            self._break_off(cycle, refusal)
        elif cycle is None or cycle.response_complete:
            self.answer(refusal)
        if not (self._lingers or self.transport.is_closing()):
            self.flow.hold()  # what follows may be endless, and is not even looked at

    def _break_off(self, cycle: Any, refusal: Refusal) -> None:
        if self.leaves_queue(cycle):
            return
        # There is nothing to continue with: the application, which learns it late, would ask for more.
        cycle.waiting_for_100_continue = False
        may_be_answered = not cycle.response_started
        if not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
            self.flow.resume_writing()
        if may_be_answered:
            self.answer(refusal)
        else:
            self.transport.close()

    def leaves_queue(self, cycle: Any) -> bool:  # noqa: ARG002 - for subclasses
        """Take *cycle* out of those that wait for their turn; return whether it was one of them."""
        return False

    def answer(self, refusal: Refusal) -> None:
        """Send *refusal*, and nothing after it."""
        self._lingers = True
        self.flow.release()
        self.flow.resume_reading()
        self.transport.write(refusal.response(self.server_state.default_headers))
        if self.transport.can_write_eof():
            self.transport.write_eof()
