# SPDX-License-Identifier: MIT
"""When a request with a body may begin: its body is read ahead, and has its turn.

A thread costs far more than a buffer. So the body of a request that is to run on a thread is read on the
loop first, up to ``read_ahead`` bytes: however slowly a client sends, it holds no thread meanwhile. A
longer body begins when so much of it has come, and is streamed from then on; so does one that has been
silent for a while, as its client may wait for the response before it goes on. Those that begin before their
end may hold half of the threads together (``max_streams``); the others are left to requests that have come
whole.

Then there must be room for the body (``budget``). Who waits is read no further, and waits in order of
arrival; too many are refused with 503. A body that is too small to count is read however little memory is
left, and waits behind none that counts. So does a chunked one, which is seen to be small once it is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

from ashapp.bridge.admission.body_budget import PIECE, Budget, Share
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected

if TYPE_CHECKING:
    from ashapp.bridge.admission.free_memory import Memory
    from ashapp.bridge.request.input_stream import RequestBody

__all__ = ["DEFAULT_READ_AHEAD", "Intake"]

DEFAULT_READ_AHEAD = 1 << 20
# Bytes of a body that is not worth being counted: a request takes as much by itself.
_UNCOUNTED = 1 << 14

# Seconds without more of a body after which its client may wait for an answer.
_SILENCE = 3.0

# The part of the memory that is left which bodies that are read ahead may have, all together.
_PART_READ_AHEAD = 16
# How many may wait follows from it too, by the bytes that a server may have received for each of them.
_PER_WAITING = 1 << 17
_FEWEST_WAITING = 64

# Seconds until the first that waits looks again: memory is given back without a word.
_LOOK = 0.05

# Seconds, RFC 9110, 10.2.3.
_RETRY_AFTER = (b"retry-after", b"1")

_GONE = "the client went away before its request could begin"


class Intake:
    """The bodies of all requests of a worker, until they may be read. On the loop.

    *read_ahead* is in bytes, 0 for none; *max_streams* is how many requests on threads may begin before their
    body has come whole.

    Raises:
        ValueError: *read_ahead* is negative.

    """

    def __init__(self, memory: Memory, max_streams: int, read_ahead: int = DEFAULT_READ_AHEAD) -> None:
        if read_ahead < 0:
            raise ValueError(f"read_ahead is {read_ahead!r}: expected a number of bytes, or 0 for none")
        self.read_ahead = read_ahead
        self.max_streams = max_streams
        self.budget = Budget(memory, self._call_first)
        #: Requests that have been refused so far.
        self.refused = 0
        #: Requests on threads that have begun before their end.
        self.streams = 0
        #: Bytes of bodies that have been read ahead and not begun.
        self.ahead = 0
        self._context = Context()
        self._whole: deque[_Turn] = deque()
        self._parts: deque[_Turn] = deque()
        self._small_parts: deque[_Turn] = deque()

    @property
    def waiting(self) -> int:
        """Requests whose turn has not come, although their body is there as far as it is read ahead."""
        return sum(map(len, self._lines))

    @property
    def _lines(self) -> tuple[deque[_Turn], ...]:
        return self._whole, self._parts, self._small_parts

    def share(self, length: int | None) -> Share | None:
        """Return a share of the budget, which is nothing yet; None where *length* is too small for one."""
        return None if length is not None and length <= _UNCOUNTED else Share(self.budget)

    async def admit(self, body: RequestBody, share: Share | None) -> None:
        """Return when a request on a thread may begin that has this *body*; it then has *share*.

        A body that the client does not send of its own accord is not read ahead. One that breaks off begins
        too, for the application to be told, unless it would have to wait.

        Raises:
            ClientDisconnected: the client has gone.
            RequestRejected: too many wait already; the status is 503.

        """
        enough = self.read_ahead if body.unasked else 0
        turn = _Turn(body, enough, self._context, counts=share is not None)
        try:
            while not self._take(turn):
                await turn.wait()
        finally:
            self._leave(turn)
        body.end_read_ahead()
        if not turn.counts:
            share = None
        body.share = share
        if share is not None and body.is_complete:
            share.add(body.arrived)
            share.end_growth()
        elif share is not None:
            share.add(max(body.arrived, PIECE))

    def end_stream(self) -> None:
        """Take note that a request which began before its end is whole now, or over."""
        self.streams -= 1
        self._call_first()

    def _take(self, turn: _Turn) -> bool:
        """Say whether it is the turn of *turn*; where it is, let it begin."""
        body = turn.body
        if body.is_gone and turn.line is not None:
            raise ClientDisconnected(_GONE)
        if body.is_complete and body.arrived <= _UNCOUNTED:
            turn.counts = False
        is_full = turn.counts and self._is_full()
        if body.unasked and not body.started and (not is_full or body.length is None):
            body.read_ahead(0 if is_full else turn.enough, partial(self._note, turn))
        if body.is_complete or body.is_gone:
            if not turn.counts:
                return True
            line = self._whole
            may_begin = True
        elif turn.is_enough() or is_full:
            line = self._parts if turn.counts else self._small_parts
            may_begin = self.streams < self.max_streams or not self.read_ahead
        else:
            return False
        self._stand_in(line, turn)
        size = body.arrived if body.is_complete else max(body.arrived, PIECE)
        has_room = not turn.counts or self.budget.fits(size)
        if line[0] is not turn or not may_begin or not has_room:
            if body.is_gone:
                raise ClientDisconnected(_GONE)
            turn.watch(0 if is_full else turn.enough)
            return False
        if line is not self._whole:
            self.streams += 1
            body.on_end = self.end_stream
        return True

    def _note(self, turn: _Turn) -> None:
        """Take note of what has come for *turn*; at once, or much more could come before it is called."""
        self.ahead += turn.body.arrived - turn.counted
        turn.counted = turn.body.arrived
        if turn.counts and self._is_full():
            turn.body.take_in(0)
        turn.call()

    def _is_full(self) -> bool:
        return self.ahead * _PART_READ_AHEAD > self.budget.left()

    def _stand_in(self, line: deque[_Turn], turn: _Turn) -> None:
        if turn.line is line:
            return
        if turn.line is not None:
            turn.line.remove(turn)
        elif self.waiting and self.waiting >= self._max_waiting():
            self.refused += 1
            reason = f"{self.waiting} requests with a body wait for others to be done"
            raise RequestRejected(503, f"The service is busy: {reason}. Try again later.", [_RETRY_AFTER])
        turn.line = line
        line.append(turn)

    def _max_waiting(self) -> float:
        return max(self.budget.left() // _PART_READ_AHEAD // _PER_WAITING, _FEWEST_WAITING)

    def _leave(self, turn: _Turn) -> None:
        self.ahead -= turn.counted
        if turn.line is not None:
            turn.line.remove(turn)
            self._call_first()

    def _call_first(self) -> None:
        for line in self._lines:
            if line:
                line[0].call()


class _Turn:
    """One request that has not begun, with *enough* bytes of its *body* to begin before its end.

    *context* is for timers; *counts* is whether there must be room for it in the budget.
    """

    def __init__(self, body: RequestBody, enough: int, context: Context, *, counts: bool) -> None:
        self._context = context
        self.body = body
        self.enough = enough
        self.counts = counts
        self._watched = False
        #: Bytes that the intake has counted for it.
        self.counted = 0
        self.line: deque[_Turn] | None = None
        self._loop = asyncio.get_running_loop()
        self._bell: asyncio.Future[None] | None = None
        self._seen = 0
        self._silent_at = self._loop.time() + _SILENCE

    def is_enough(self) -> bool:
        """Say whether it may begin as it is."""
        if self.body.arrived != self._seen:
            self._seen, self._silent_at = self.body.arrived, self._loop.time() + _SILENCE
        return self.body.is_resting or self.enough == 0 or self._loop.time() >= self._silent_at

    def call(self) -> None:
        """Let it see whether its turn has come."""
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def watch(self, enough: int) -> None:
        """Take in *enough* of the body while it waits; let it be called when its client goes."""
        if self.body.unasked and self.body.started:  # or else to look for that would ask for the body
            self.body.take_in(enough)
            if not self._watched:
                self._watched = True
                self.body.watch(self.call, read_ahead=0)

    async def wait(self) -> None:
        """Wait until it is called; or it is first in its line; or its client has been silent."""
        self._bell = self._loop.create_future()
        timer = None
        # In a context that it shares with others: a timer keeps its own for a while after it was cancelled.
        if self.line is None:
            timer = self._loop.call_at(self._silent_at, self.call, context=self._context)
        elif self.line[0] is self:
            timer = self._loop.call_later(_LOOK, self.call, context=self._context)
        try:
            await self._bell
        finally:
            if timer is not None:
                timer.cancel()
