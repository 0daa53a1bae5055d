# SPDX-License-Identifier: MIT
"""When a request with a body may begin: its body is read ahead, and has its turn.

Theory of operation. A thread costs far more than a buffer. So the body of a request that is to run on a
thread is read on the loop first, up to ``read_ahead`` bytes: however slowly a client sends, it holds no
thread meanwhile. A longer body begins when that much has come, and is streamed from then on. So does one that
has been silent for a while, as its client may wait for the response before it goes on. Those that begin
before their end hold half of the threads at most (``max_streams``); the others are left to requests that have
come whole.

Then there must be room for the body in the ``Budget``. One that waits for room is read no further, and waits
in a line, in order of arrival; where too many wait it is refused with 503. A body that is too small to count
is read however little memory is left, and waits behind none that counts. So does a chunked one, which is seen
to be small once it is there.
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
# Bytes of a body that is not worth being counted: a request takes as much by itself.
_UNCOUNTED = 1 << 14

# Seconds without more of a body after which its client may wait for an answer.
_SILENCE = 3.0

# Bodies that are read ahead have one part in so many of the memory that is left, all together.
_PART_READ_AHEAD = 16
# How many may wait follows from that part, by the bytes that a server may have received for each of them.
_PER_WAITING = 1 << 17
_FEWEST_WAITING = 64

# Seconds until the first in a line looks again: memory is given back without a word.
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
        """Requests whose turn has not come, although their body is there as far as it is read ahead."""
        return sum(map(len, self._lines))

    def let_in(self, body: RequestBody) -> None:
        """Let a request begin at once that has this *body*, as it takes no thread."""
        if _counts(body):
            body.share = Share(self.budget)
        if body.unasked:
            body.start()

    async def admit(self, body: RequestBody) -> None:
        """Return when a request on a thread may begin that has this *body*.

        A body that the client does not send of its own accord is not read ahead. One that breaks off begins
        too, for the application to be told, unless it would have to wait.

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
        """Say whether *turn* may begin now; where its body is there and it may not, it stands in a line."""
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
        """Take note of what has come for *turn*; at once, or much more could come before it is called."""
        self.ahead += turn.note_arrival()
        if turn.counts and self._is_full():
            turn.body.take_in(0)
        turn.call()

    def _note_stream(self, body: RequestBody) -> None:
        """See whether a request that began before its end is whole now, or over."""
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
    """Say whether there must be room for *body*, so far as is known of its length."""
    length = body.arrived if body.is_complete else body.length
    return length is None or length > _UNCOUNTED


def _size(body: RequestBody) -> int:
    """Return what there must be room for, so that the request can begin."""
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
        """Let it see whether its turn has come."""
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
        # In a context that all share: a timer keeps its own for a while after it was cancelled.
        if self.line is None:
            timer = loop.call_at(self._silent_at, self.call, context=context)
        elif self.line[0] is self:
            timer = loop.call_later(_LOOK, self.call, context=context)
        try:
            await self._bell
        finally:
            if timer is not None:
                timer.cancel()
