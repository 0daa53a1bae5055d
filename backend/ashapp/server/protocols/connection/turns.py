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
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.server import ServerState

from ashapp.server.protocols.messages.refusal import Refusal

__all__ = ["Backlog", "HeldFlow", "TakesTurns", "Turns"]

_log = logging.getLogger("ashapp.server")

# What has fewer lines, or bytes, is taken in at once.
_LINES = 64
_BYTES = 512

# Seconds for all that have a turn, before others are served.
_ROUND = 0.005
# Seconds that a piece should take at most, and bytes that it has at least.
_QUICK = 0.001
_SMALLEST = 512

# Bytes that may wait. What is read at once, some times over: more comes only from someone who means harm.
_LONGEST = 1 << 20


class Backlog:
    """What has been received on a connection, beginning with *data*, and not been taken in yet."""

    def __init__(self, data: bytes) -> None:
        self._data = bytearray(data)
        self._piece = _SMALLEST

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Let *data* wait behind what waits already."""
        self._data += data

    def pop(self) -> bytes:
        """Return the next piece, and forget it."""
        piece = bytes(self._data[: self._piece])
        del self._data[: self._piece]
        return piece

    def took(self, seconds: float) -> None:
        """Make the next piece longer or shorter, as this one took so long: a plain body is no trouble."""
        self._piece = self._piece * 2 if seconds < _QUICK else max(self._piece // 2, _SMALLEST)


class HeldFlow(FlowControl):
    """uvicorn's flow control, with a reason more not to read: while it is held."""

    held = False

    def hold(self) -> None:
        """Read no more, whoever else may want to."""
        self.held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Read on, unless uvicorn has paused it."""
        self.held = False
        if not self.read_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless it is held."""
        if self.held:
            self.read_paused = False
        else:
            super().resume_reading()


class Waiting(Protocol):
    """A connection that waits for its turn."""

    transport: asyncio.Transport

    def take_turn(self) -> bool:
        """Take in a piece; return whether there is more."""


class Turns:
    """Gives each connection that was added a turn, and again as long as it has more to take in.

    *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._waiting: deque[Waiting] = deque()

    def add(self, connection: Waiting) -> None:
        """Let *connection* have its turns from now on, behind those that wait already."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._loop.call_soon(self._go_round)

    def _go_round(self) -> None:
        end = self._clock() + _ROUND
        while self._waiting and self._clock() < end:
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


_turns: WeakKeyDictionary[ServerState, Turns] = WeakKeyDictionary()


def _turns_of(server_state: ServerState, loop: Any) -> Turns:
    """Return the turns of the connections of one server."""
    turns = _turns.get(server_state)
    if turns is None:
        turns = _turns[server_state] = Turns(loop)
    return turns


class TakesTurns(asyncio.Protocol):
    """A mix-in for uvicorn's protocols, which set most of these attributes; they then take turns."""

    __slots__ = ("_backlog", "refusal")

    loop: asyncio.AbstractEventLoop
    server_state: ServerState
    transport: asyncio.Transport
    flow: Any
    #: Why nothing more is taken in, if so.
    refusal: Refusal | None
    _backlog: Backlog | None

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.refusal = self._backlog = None

    def take(self, data: bytes) -> None:
        """Take in *data* at once."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """Take in *data*: by turns with other connections, if that is laborious."""
        if self._backlog is not None:
            self._backlog.add(data)
            if len(self._backlog) > _LONGEST:
                self.transport.abort()
        elif len(data) > _BYTES and data.count(b"\n") > _LINES and self.refusal is None:
            self._backlog = Backlog(data)
            self.flow.hold()
            _turns_of(self.server_state, self.loop).add(self)
        else:
            self.take(data)

    def take_turn(self) -> bool:
        """Take in a piece of what waits; return whether there is more."""
        backlog = self._backlog
        if backlog is None:
            return False
        began = time.monotonic()
        self.take(backlog.pop())
        backlog.took(time.monotonic() - began)
        if self._backlog is None and backlog:  # it is another protocol's now, which must not miss a part
            self.transport.close()
        if backlog and self.refusal is None and not self.transport.is_closing():
            return True
        self.forget_backlog()
        return False

    def forget_backlog(self) -> None:
        """Take in no more of what waits."""
        if self._backlog is not None:
            self._backlog = None
            if self.refusal is None:
                self.flow.release()
