# SPDX-License-Identifier: MIT
"""Take in by turns what is laborious to parse: much that is short.

Theory of operation. A parser has work with each chunk, field and request, however short it is. What is read
at once, 256 KiB, may be 40,000 chunks of one byte: 0.1 s of httptools' work, and seconds of h11's, while
nobody else is served. So what has many lines is taken in in pieces, in turns with that of other connections,
for some milliseconds each time that the loop comes round. The connection is not read meanwhile.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["Backlog", "Turns", "is_laborious"]

_log = logging.getLogger("ashapp.server")

# What has fewer lines, or bytes, is taken in at once.
_LINES = 64
_BYTES = 512

# Seconds for all that have a turn, before others are served.
_ROUND = 0.005
# Seconds that a piece should take at most, and bytes that it has at least.
_QUICK = 0.001
_SMALLEST = 512


def is_laborious(data: bytes) -> bool:
    """Whether to take *data* in by turns."""
    return len(data) > _BYTES and data.count(b"\n") > _LINES


class Backlog:
    """What has been received on a connection, beginning with *data*, and not been taken in yet."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._size = _SMALLEST

    def pass_on(self, take: Callable[[bytes], None]) -> None:
        """Forget the next piece, and call *take* with it.

        If that is quick the next one will be longer, else shorter: a plain body is no trouble.
        """
        piece = bytes(self.data[: self._size])
        del self.data[: self._size]
        began = time.monotonic()
        take(piece)
        is_quick = time.monotonic() - began < _QUICK
        self._size = self._size * 2 if is_quick else max(self._size // 2, _SMALLEST)


class Turns:
    """Calls ``take_turn`` of each connection that was added, and again as long as it returns True."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Any] = deque()

    def add(self, connection: Any) -> None:
        """Let *connection* have its turns from now on, behind those that wait already."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._go_round)

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
            self._loop.call_soon(self._go_round)
