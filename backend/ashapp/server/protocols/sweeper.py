# SPDX-License-Identifier: MIT
"""Look at all connections of a server now and then: one timer, instead of one for each request.

Time is counted in intervals between looks, not by the clock. So a loop that was blocked takes its own delay
for one interval, and not for clients that have been silent all the while.
"""

import asyncio
import logging
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

__all__ = ["Sweeper", "Swept", "sweeper_of"]

_log = logging.getLogger("ashapp.server")


class Swept(Protocol):
    """A connection that wants to be looked at."""

    transport: asyncio.Transport

    def look(self, seconds: float) -> None:
        """Take note that *seconds* have gone by."""


class Sweeper:
    """Calls `Swept.look` for each of its connections every *interval* seconds, as long as there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self.connections: set[Swept] = set()
        self._loop = loop
        self._interval = interval
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Swept) -> None:
        """Look at *connection* from now on."""
        self.connections.add(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._sweep)

    def remove(self, connection: Swept) -> None:
        """Look at *connection* no longer."""
        self.connections.discard(connection)

    def _sweep(self) -> None:
        self._timer = None
        for connection in tuple(self.connections):
            try:
                connection.look(self._interval)
            except Exception:
                _log.exception("A connection could not be looked after: aborted")
                self.remove(connection)
                connection.transport.abort()
        if self.connections:
            self._timer = self._loop.call_later(self._interval, self._sweep)


_sweepers: WeakKeyDictionary[ServerState, Sweeper] = WeakKeyDictionary()


def sweeper_of(server_state: ServerState, loop: Any, interval: float) -> Sweeper:
    """Return the sweeper that the connections of one server share."""
    sweeper = _sweepers.get(server_state)
    if sweeper is None:
        sweeper = _sweepers[server_state] = Sweeper(loop, interval)
    return sweeper
