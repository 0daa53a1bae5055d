# SPDX-License-Identifier: MIT
"""HTTP/1.1 by h11, within limits, and as strict as httptools is."""

from typing import Any

import h11
from h11._readers import ChunkedReader
from h11._writers import Http10Writer
from uvicorn.protocols.http.h11_impl import H11Protocol

from ashapp.bridge.messages.upgrades import IGNORED
from ashapp.server.protocols.h11_bodies import CloseDelimitedWriter, StrictChunkedReader
from ashapp.server.protocols.limited import Limited
from ashapp.server.protocols.messages.default_headers import respect_own_fields
from ashapp.server.protocols.messages.head import check_head
from ashapp.server.protocols.messages.limits import ConnectionLimits
from ashapp.server.protocols.messages.refusal import Refusal
from ashapp.server.protocols.messages.target import in_origin_form
from ashapp.server.protocols.messages.upgrade import check_nothing_follows, is_handshake, refuse_connect

__all__ = ["LimitedH11Protocol"]


class _StrictConnection(h11.Connection):
    """Sees to it that a head is checked before it is parsed, wherever h11 is asked to go on."""

    transport: Any

    def __init__(
        self, limits: ConnectionLimits, max_incomplete_event_size: int, *, takes_websockets: bool
    ) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size)
        #: Whether the request that is being received is a WebSocket handshake that is taken.
        self.is_handshake = False
        self.refusal: Refusal | None = None
        #: Whether it is the head of a request that is wrong.
        self.failed_in_head = False
        self._limits = limits
        self._takes_websockets = takes_websockets

    def next_event(self) -> Any:
        self.failed_in_head = self.their_state is h11.IDLE
        try:
            if self.failed_in_head:
                self._skip_empty_lines()
                check_head(self.trailing_data[0], self._limits)
            event = super().next_event()
            return self._checked(event) if isinstance(event, h11.Request) else event
        except Refusal as refusal:
            self.refusal = refusal
            raise h11.RemoteProtocolError(refusal.detail) from refusal
        except h11.RemoteProtocolError as error:
            # What it says would tell what the client sent, secrets among it.
            self.refusal = Refusal(error.error_status_hint, "The request is not valid HTTP/1.1.")
            raise

    def _skip_empty_lines(self) -> None:
        # Some clients end a body with one (RFC 9112, 2.2).
        received = self.trailing_data[0]
        empty = len(received) - len(received.lstrip(b"\r\n"))
        if empty:
            self._receive_buffer.maybe_extract_at_most(empty)

    def _get_io_object(self, *args: Any) -> Any:
        found = super()._get_io_object(*args)
        if isinstance(found, Http10Writer):
            return CloseDelimitedWriter(self.transport)
        return StrictChunkedReader() if isinstance(found, ChunkedReader) else found

    def _checked(self, request: h11.Request) -> h11.Request:
        refuse_connect(request.method)
        request = _in_origin_form(request)
        version = request.http_version.decode("ascii")
        self.is_handshake = self._takes_websockets and is_handshake(
            request.method, version, list(request.headers)
        )
        if self.is_handshake:
            check_nothing_follows(self.trailing_data[0])
        return request


def _in_origin_form(request: h11.Request) -> h11.Request:
    if request.target.startswith(b"/"):
        return request
    target, fields = in_origin_form(request.target, list(request.headers))
    return h11.Request(
        method=request.method, target=target, headers=fields, http_version=request.http_version
    )


class LimitedH11Protocol(Limited, H11Protocol):
    """uvicorn's, with the limits of *limits*."""

    __slots__ = ()
    conn: _StrictConnection

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        longest = self.config.h11_max_incomplete_event_size
        self.conn = _StrictConnection(
            limits,
            limits.head if longest is None else longest,
            takes_websockets=self.ws_protocol_class is not None,
        )

    def connection_made(self, transport: Any) -> None:
        """Begin to look after the connection too."""
        super().connection_made(self.limited_transport(transport))
        self.conn.transport = self.transport
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look after the connection no longer."""
        self.end()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Leave the connection to uvicorn's protocol for WebSocket."""
        self.end()
        super().handle_websocket_upgrade(event)
        self.watch_upgraded()

    def _should_upgrade(self) -> bool:
        if not self.conn.is_handshake:
            self.scope[IGNORED] = True  # type: ignore[literal-required]
        return self.conn.is_handshake

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received; see `Limited`."""
        return self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])

    def on_response_complete(self) -> None:
        """Go on as uvicorn does, without a timer: for a connection that stays idle there is the sweeper."""
        super().on_response_complete()
        self._unset_keepalive_if_required()

    def take(self, data: bytes) -> None:
        """Take in *data* as uvicorn does."""
        if self.refusal is None:
            self.received += len(data)
            H11Protocol.data_received(self, data)

    def handle_events(self) -> None:
        """Serve what has been received, as uvicorn does."""
        respect_own_fields(self.server_state)
        super().handle_events()

    def send_400_response(self, msg: str) -> None:
        """Refuse the request; the status is that of what is wrong with it."""
        self.refuse(self.conn.refusal or Refusal(400, msg), of_head=self.conn.failed_in_head)
