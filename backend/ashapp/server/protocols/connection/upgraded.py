# SPDX-License-Identifier: MIT
"""Limits for a connection that has left HTTP: it has one of uvicorn's protocols for WebSocket.

These have time limits of their own for a client that answers no ping, and for the end. But then they close
the transport, which waits until the client has taken what is left: one that takes nothing stays for ever. And
a handshake that the library underneath does not like is never answered by uvicorn.
"""

import asyncio
import logging
from typing import Any

from uvicorn.server import ServerState

from ashapp.server.protocols.connection.delivery import Delivery
from ashapp.server.protocols.connection.sweeper import Sweeper
from ashapp.server.protocols.messages.limits import LINGER, ConnectionLimits
from ashapp.server.protocols.messages.refusal import Refusal

__all__ = ["Upgraded"]

_log = logging.getLogger("ashapp.server")


class Upgraded:
    """A connection that *sweeper* looks at, until uvicorn no longer counts it among its connections."""

    __slots__ = ("_connections", "_delivery", "_limits", "_protocol", "_sweeper", "_waited", "transport")

    def __init__(
        self, transport: asyncio.Transport, state: ServerState, limits: ConnectionLimits, sweeper: Sweeper
    ) -> None:
        self.transport = transport
        self._protocol: Any = transport.get_protocol()
        self._connections: set[Any] = state.connections
        self._limits = limits
        self._delivery = Delivery(transport)
        self._waited = 0.0
        self._sweeper = sweeper
        if getattr(self._protocol, "handshake_initiated", True):
            sweeper.add(self)
        else:
            self._refuse(state)

    def look(self, seconds: float) -> None:
        """Take note that *seconds* have gone by, and do what is due; see `Swept`."""
        if self._protocol not in self._connections:
            self._sweeper.remove(self)
        elif self._delivery.is_going_on:
            self._waited = 0.0
            if self._delivery.look(seconds) >= self._limits.send_seconds:
                _log.info("The client %s does not read what is sent: connection aborted", self._client)
                self.transport.abort()
        elif self.transport.is_closing():
            self._waited += seconds
            if self._waited >= LINGER:
                self.transport.abort()

    def _refuse(self, state: ServerState) -> None:
        refusal = Refusal(
            400, "The WebSocket handshake can't be read: a field is too long, or it has a body."
        )
        _log.info("Refused a WebSocket handshake of %s: %s", self._client, refusal.detail)
        # What the library would say; uvicorn does not ask.
        answer = b"".join(self._protocol.conn.data_to_send())
        self.transport.write(answer or refusal.response(state.default_headers))
        self.transport.close()
        self._sweeper.add(self)

    @property
    def _client(self) -> object:
        return self._protocol.client
