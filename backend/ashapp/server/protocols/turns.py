# SPDX-License-Identifier: MIT
"""Turns on the event loop: of connections with much to parse, and of requests that are to begin.

Theory of operation. Each chunk, field and request takes a parser some time, however short it is. One read of
256 KiB may hold 40,000 chunks of one byte. They take httptools 0.1 s, and h11 seconds. No other connection
would be served meanwhile. So data with many lines is parsed in pieces, in turns with other connections, for 5
ms in each cycle of the loop. Until that is done, the connection is not read. The same holds for the frames of
WebSockets, of which a read may hold as many.

Requests that were read in one cycle of the loop begin together. Each part of the work is done for all of them
in a row, while its code is in the processor's caches: first all are parsed, then all are handed to the
application. That is worth a tenth of the time of a small request with 32 busy connections.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["Backlog", "Beginnings", "Turns", "is_laborious", "turns_on"]

_log = logging.getLogger("ashapp.server")

# Data with fewer lines, or bytes, is parsed at once.
_LINES = 64
_BYTES = 512

# Seconds for all turns in one cycle of the loop.
_ROUND = 0.005
# Seconds that a piece should take at most, and its least and greatest length in bytes. Behind a long chunk or
# frame, which is quick, there may be many short ones.
_QUICK = 0.001
_SMALLEST, _LARGEST = 512, 16384


def is_laborious(data: bytes) -> bool:
    """Whether to parse *data* in turns."""
    return len(data) > _BYTES and data.count(b"\n") > _LINES


class Backlog:
    """Received *data* of a connection that has not been parsed yet."""

    def __init__(self, data: bytes | memoryview) -> None:
        self.data = bytearray(data)
        self._size = _SMALLEST

    def pass_on(self, take: Callable[[bytes], None]) -> None:
        """Call *take* with the next piece. The one after it is longer if that was quick, else shorter."""
        piece = bytes(self.data[: self._size])
        del self.data[: self._size]
        began = time.monotonic()
        take(piece)
        is_quick = time.monotonic() - began < _QUICK
        self._size = min(self._size * 2, _LARGEST) if is_quick else max(self._size // 2, _SMALLEST)


class Turns:
    """Calls ``take_turn`` of each connection that was added, and again as long as it returns True."""

    def __init__(self) -> None:
        self._waiting: deque[Any] = deque()

    def add(self, connection: Any) -> None:
        """Let *connection* have its turns from now on, behind those that wait already."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._go_round)

    def _go_round(self) -> None:
        end = time.monotonic() + _ROUND
        while self._waiting and time.monotonic() < end:
            connection = self._waiting[0]
            try:
                has_more = connection.take_turn()
            except Exception:
                _log.exception("What was received could not be taken in: connection aborted")
                connection.transport.abort()
                has_more = False
            self._waiting.popleft()
            if has_more:
                self._waiting.append(connection)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go_round)


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()


def turns_on(loop: asyncio.AbstractEventLoop) -> Turns:
    """Return the turns that all connections on *loop* share."""
    return _turns.setdefault(loop, Turns())


class Beginnings:
    """Begins the added requests when *loop* has read all that there is to be read.

    They run in a context of their own: the current one may belong to an earlier request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = copy_context()
        self._waiting: list[tuple[Callable[[object], None], object]] = []

    def add(self, begin: Callable[[object], None], request: object) -> None:
        """Call *begin*, which raises nothing, with *request*."""
        self._waiting.append((begin, request))
        if len(self._waiting) == 1:
            self._loop.call_soon(self._begin, context=self._context)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        for begin, request in waiting:
            begin(request)
