# SPDX-License-Identifier: MIT
"""Decides when a request with a body may begin: its body is read ahead, and waits for memory.

Theory of operation. A thread costs far more than a buffer. So before a request runs on a thread, up to
``read_ahead`` bytes of its body are read on the loop: a slow client holds no thread meanwhile. A request with
a longer body begins when that much has come, and its body is streamed from then on. So it is if the client
has been silent for a while, as it may wait for the response before it goes on. Requests that begin before the
end of their body hold half of the threads at most (``max_streams``); the other half is left to requests whose
body is complete.

Then there must be room for the body in the ``Budget``. Without room it is read no further, and waits in a
queue, in order of arrival. If too many wait, the request is refused with 503. A body that is too small to
count is read even if no memory is left, and does not wait in the queue. The same holds for a chunked body
that turns out to be small.
"""

from __future__ import annotations

from collections import deque
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING

from ashapp.bridge.admission.body_budget import PIECE, Budget, Share
from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.messages.errors import ClientDisconnected

if TYPE_CHECKING:
    import asyncio

    from ashapp.bridge.admission.free_memory import Memory
    from ashapp.bridge.request.uploads.request_body import RequestBody

__all__ = ["DEFAULT_READ_AHEAD", "Intake"]

DEFAULT_READ_AHEAD = 1 << 20
# A body of up to this many bytes is not counted: a request takes as much by itself.
_UNCOUNTED = 1 << 14

# Seconds without more of a body after which its client may wait for an answer.
_SILENCE = 3.0

# All bodies that are read ahead may take 1 / this of the memory that is left.
_PART_READ_AHEAD = 16
# That part also bounds how many may wait, by the bytes that a server may have received for each.
_PER_WAITING = 1 << 17
_FEWEST_WAITING = 64

# Seconds until the first in the queue looks again, for no event tells that memory is free again.
_LOOK = 0.05

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
        #: Requests on threads that have begun before their end.
        self.streams = 0
        #: Bytes of bodies that have been read ahead and not begun.
        self.ahead = 0
        self._context = Context()
        self._whole: deque[_Turn] = deque()
        self._parts: deque[_Turn] = deque()
        self._small_parts: deque[_Turn] = deque()
        self._lines = (self._whole, self._parts, self._small_parts)

    @property
    def waiting(self) -> int:
        """Requests that wait, although enough of their body is there."""
        return sum(map(len, self._lines))

    def let_in(self, body: RequestBody) -> None:
        """Let the request of *body* begin at once, as it takes no thread."""
        if _counts(body):
            body.share = Share(self.budget)
        if body.unasked:
            body.start()

    async def admit(self, body: RequestBody) -> None:
        """Return when the request of *body* may begin on a thread.

        A body that waits for ``100 Continue`` is not read ahead. If a body breaks off, its request begins, so
        that the application learns of it, unless it would have to wait.

        Raises:
            ClientDisconnected: the client has gone.
            RequestRejected: too many wait already; the status is 503.
        """
        turn = _Turn(body, self.read_ahead if body.unasked else 0)
        body.on_change = partial(self._note, turn)
        try:
            while not self._may_begin(turn):
                await turn.wait(self._context)
        finally:
            body.unwatch()
            self._leave(turn)
        if not (body.is_complete or body.is_gone):
            self.streams += 1
            body.on_change = partial(self._note_stream, body)
        if turn.counts:
            body.share = Share(self.budget)
            body.share.add(_size(body))
            if body.is_complete:
                body.share.end_growth()

    def _may_begin(self, turn: _Turn) -> bool:
        """Say whether *turn* may begin now. If not, and its body is there, it is queued."""
        body = turn.body
        if body.is_gone and turn.line is not None:
            raise ClientDisconnected(_GONE)
        is_full = turn.counts and self._is_full()
        enough = 0 if is_full else turn.enough
        if body.unasked and not body.started and (not is_full or body.length is None):
            body.take_in(enough)
            body.start()
        is_over = body.is_complete or body.is_gone
        if is_over and not turn.counts:
            return True
        if not (is_over or is_full or turn.has_enough()):
            return False
        line = self._whole if is_over else self._parts if turn.counts else self._small_parts
        self._stand_in(line, turn)
        may_begin = is_over or self.streams < self.max_streams or not self.read_ahead
        if line[0] is turn and may_begin and (not turn.counts or self.budget.fits(_size(body))):
            return True
        if body.is_gone:
            raise ClientDisconnected(_GONE)
        turn.watch(enough)
        return False

    def _note(self, turn: _Turn) -> None:
        """Count the bytes that have come for *turn*: at once, as much more could come before it is called."""
        self.ahead += turn.note_arrival()
        if turn.counts and self._is_full():
            turn.body.take_in(0)
        turn.call()

    def _note_stream(self, body: RequestBody) -> None:
        """Check whether a request that has begun early has its whole body now, or has ended."""
        if body.is_complete or body.is_gone:
            body.on_change = None
            self.streams -= 1
            self._call_first()

    def _is_full(self) -> bool:
        return self.ahead * _PART_READ_AHEAD > self.budget.left()

    def _stand_in(self, line: deque[_Turn], turn: _Turn) -> None:
        if turn.line is line:
            return
        if turn.line is not None:
            turn.line.remove(turn)
        elif self.waiting >= max(self.budget.left() // _PART_READ_AHEAD // _PER_WAITING, _FEWEST_WAITING):
            raise busy(f"{self.waiting} requests with a body wait for others to be done")
        turn.line = line
        line.append(turn)

    def _leave(self, turn: _Turn) -> None:
        self.ahead -= turn.arrived
        if turn.line is not None:
            turn.line.remove(turn)
            self._call_first()

    def _call_first(self) -> None:
        for line in self._lines:
            if line:
                line[0].call()


def _counts(body: RequestBody) -> bool:
    """Say whether *body* needs room in the budget, as far as its length is known."""
    length = body.arrived if body.is_complete else body.length
    return length is None or length > _UNCOUNTED


def _size(body: RequestBody) -> int:
    """Return how many bytes need room, so that the request can begin."""
    return body.arrived if body.is_complete else max(body.arrived, PIECE)


class _Turn:
    """One request that has not begun, with *enough* bytes of its *body* to begin before its end."""

    def __init__(self, body: RequestBody, enough: int) -> None:
        self.body = body
        self.enough = enough
        self.line: deque[_Turn] | None = None
        #: Bytes that have been read ahead.
        self.arrived = 0
        self._bell: asyncio.Future[None] | None = None
        self._silent_at = body.loop.time() + _SILENCE

    @property
    def counts(self) -> bool:
        """Whether there must be room for it in the budget."""
        return _counts(self.body)

    def note_arrival(self) -> int:
        """Return how many bytes have come since the last time."""
        size, self.arrived = self.body.arrived - self.arrived, self.body.arrived
        if size:
            self._silent_at = self.body.loop.time() + _SILENCE
        return size

    def has_enough(self) -> bool:
        """Say whether it may begin as it is."""
        return self.body.is_resting or self.enough == 0 or self.body.loop.time() >= self._silent_at

    def call(self) -> None:
        """Let it check whether its turn has come."""
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    def watch(self, enough: int) -> None:
        """Take in *enough* of the body while it waits; let it be called when its client goes."""
        if self.body.unasked and self.body.started:  # or else to look for that would ask for the body
            self.body.take_in(enough)
            self.body.watch(self.call, read_ahead=0)

    async def wait(self, context: Context) -> None:
        """Wait until it is called; or it is first in its line; or its client has been silent."""
        loop = self.body.loop
        self._bell = loop.create_future()
        timer = None
        # In a shared context: a cancelled timer keeps its context for a while.
        if self.line is None:
            timer = loop.call_at(self._silent_at, self.call, context=context)
        elif self.line[0] is self:
            timer = loop.call_later(_LOOK, self.call, context=context)
        try:
            await self._bell
        finally:
            if timer is not None:
                timer.cancel()
