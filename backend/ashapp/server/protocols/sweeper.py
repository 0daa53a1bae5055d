# SPDX-License-Identifier: MIT
"""Check all connections of a server at intervals: one timer, in place of one for each request.

Time is counted in intervals, not by the clock. So clients are not blamed for silence while the loop was
blocked.
"""

import asyncio
import logging
from typing import Any

__all__ = ["Sweeper"]

_log = logging.getLogger("ashapp.server")

# A prime: the hashes of objects are addresses, which are multiples of some size.
_PORTIONS = 17


class Sweeper:
    """Calls ``look(interval)`` of each of its connections every *interval* seconds, as long as there are any.

    It looks at a portion of them at a time. So nothing else waits for long. Also, the idle connections of a
    client are not closed all at once: it may just send requests on some of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float) -> None:
        self._portions: tuple[set[Any], ...] = tuple(set() for _ in range(_PORTIONS))
        self._next = 0
        self._loop = loop
        self._interval = interval
        self._is_waiting = False

    def add(self, connection: Any) -> None:
        """Begin to look at *connection*."""
        self._portions[hash(connection) % _PORTIONS].add(connection)
        if not self._is_waiting:
            self._is_waiting = True
            self._wait()

    def remove(self, connection: Any) -> None:
        """Stop looking at *connection*."""
        self._portions[hash(connection) % _PORTIONS].discard(connection)

    def _wait(self) -> None:
        self._loop.call_later(self._interval / _PORTIONS, self._sweep)

    def _sweep(self) -> None:
        portion = self._portions[self._next]
        self._next = (self._next + 1) % _PORTIONS
        for connection in tuple(portion):
            try:
                connection.look(self._interval)
            except Exception:
                _log.exception("A connection could not be looked after: aborted")
                self.remove(connection)
                connection.transport.abort()
        self._is_waiting = any(self._portions)
        if self._is_waiting:
            self._wait()
