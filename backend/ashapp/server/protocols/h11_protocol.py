# SPDX-License-Identifier: MIT
"""HTTP/1.1 by h11, within limits, and as strict as httptools is."""

from typing import Any

import h11

from ashapp.bridge.messages.upgrades import IGNORED
from ashapp.server.protocols.connection import LimitedProtocol
from ashapp.server.protocols.delivery import CountingTransport
from ashapp.server.protocols.head import (
    check_head,
    check_host,
    check_nothing_follows,
    in_origin_form,
    is_handshake,
)
from ashapp.server.protocols.internals.strict_h11 import BaseH11Connection, BaseH11Protocol
from ashapp.server.protocols.limits import ConnectionLimits, Refusal
from ashapp.server.protocols.responses import close_delimited, respect_own_fields

__all__ = ["LimitedH11Protocol"]


class _StrictConnection(BaseH11Connection):
    """Checks a head before h11 parses it, wherever h11 is asked to go on."""

    def __init__(self, limits: ConnectionLimits, longest_event: int, *, takes_websockets: bool) -> None:
        super().__init__(h11.SERVER, longest_event)
        self._limits = limits
        self._takes_websockets = takes_websockets
        #: Whether the latest request is a WebSocket handshake that is taken.
        self.is_handshake = False
        #: Whether a head was being received when h11 was asked last.
        self.in_head = True
        #: Why the head or the body is refused.
        self.refusal: Refusal | None = None

    def receive_data(self, data: bytes) -> None:
        """Take in *data*, unless the last request is complete: nothing after it is read (RFC 9112, 9.6)."""
        if self.their_state is not h11.MUST_CLOSE:
            super().receive_data(data)

    def next_event(self) -> Any:
        if self.their_state is h11.MUST_CLOSE:  # h11 takes what follows for an error, and its request is lost
            return h11.NEED_DATA
        self.in_head = self.their_state is h11.IDLE
        try:
            if self.in_head:
                self.skip_empty_lines()
                check_head(self.trailing_data[0], self._limits)
            event = super().next_event()
            return self._checked(event) if isinstance(event, h11.Request) else event
        except Refusal as refusal:
            self.refusal = refusal
            raise h11.RemoteProtocolError(refusal.detail) from refusal
        except h11.RemoteProtocolError as error:
            # Its text would show what the client sent, perhaps with secrets.
            self.refusal = Refusal(error.error_status_hint, "The request is not valid HTTP/1.1.")
            raise

    def _checked(self, request: h11.Request) -> h11.Request:
        method, version, fields = request.method, request.http_version, list(request.headers)
        check_host(version.decode("ascii"), fields)
        target, fields = in_origin_form(method, request.target, fields)
        self.is_handshake = self._takes_websockets and is_handshake(method, version.decode("ascii"), fields)
        if self.is_handshake:
            check_nothing_follows(self.trailing_data[0])
        if target == request.target:
            return request
        return h11.Request(method=method, target=target, headers=fields, http_version=version)


class _Transport(CountingTransport):
    """Is closed when *protocol* is ready for that."""

    def __init__(self, transport: Any, protocol: "LimitedH11Protocol") -> None:
        super().__init__(transport)
        self.protocol: LimitedH11Protocol | None = protocol

    def close(self) -> None:
        if self.protocol is None or self.protocol.is_ready_to_close():
            super().close()


class LimitedH11Protocol(LimitedProtocol, BaseH11Protocol):
    """uvicorn's, with the limits of *limits*."""

    __slots__ = ()
    conn: _StrictConnection

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        longest = self.config.h11_max_incomplete_event_size
        takes_websockets = self.ws_protocol_class is not None
        self.conn = _StrictConnection(limits, longest or limits.head, takes_websockets=takes_websockets)

    def connection_made(self, transport: Any) -> None:
        """Begin as uvicorn does, with a transport whose end may have to wait."""
        super().connection_made(transport)
        self.transport = _Transport(self.transport, self)  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        """End as uvicorn does."""
        super().connection_lost(exc)
        self.transport.protocol = None  # type: ignore[attr-defined]  # or each would hold the other

    def handle_websocket_upgrade(self, *event: Any) -> None:
        """Leave the connection, and its end, to the protocol of WebSockets."""
        self.transport.protocol = None  # type: ignore[attr-defined]  # ``connection_lost`` is not called any more
        super().handle_websocket_upgrade(*event)

    def is_ready_to_close(self) -> bool:
        """Say whether the connection may be closed now. Else it ends when the client has sent its body."""
        cycle = self.cycle
        is_unread = cycle is not None and cycle.response_complete and self.conn.their_state is h11.SEND_BODY
        if is_unread and self.refusal is None and not self.transport.is_closing():
            self.end_unread()
            return False
        return True

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received; see `LimitedProtocol`."""
        return self.conn.in_head and (self.conn.refusal is not None or bool(self.conn.trailing_data[0]))

    def takes_upgrade(self) -> bool:
        """Return whether the request that begins is a WebSocket handshake; else prepare to serve it."""
        if self.conn.is_handshake:
            return True
        self.scope[IGNORED] = True  # type: ignore[literal-required]
        respect_own_fields(self.server_state)
        if self.scope["http_version"] == "1.0":
            self.app = close_delimited(self.app)
        return False

    def send_400_response(self, msg: str) -> None:
        """Refuse the request, with the status that fits what is wrong with it."""
        self.refuse(self.conn.refusal or Refusal(400, msg))

    def on_response_complete(self) -> None:
        """Go on as uvicorn does, without a timer: the sweeper closes idle connections."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
            self.timeout_keep_alive_task = None

    def shutdown(self) -> None:
        """End the connection with the response that is being made, or at once.

        uvicorn would ask h11 to end it. But h11 knows nothing of a refusal that has been sent.
        """
        if self.refusal is None:
            super().shutdown()
        else:
            self.transport.close()
