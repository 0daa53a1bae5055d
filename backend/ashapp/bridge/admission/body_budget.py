# SPDX-License-Identifier: MIT
"""How many bytes of request bodies the application may hold at once, so that memory lasts.

An application needs memory for what it makes of a body, too. A view that parses 1 MB of JSON may hold 40 MB
for a moment. Forty views that keep 16 MiB each hold 640 MiB. Past the limit of the container the kernel kills
the whole process. So the application gets a body only while there is memory for what it may make of that
body.

Theory of operation. Each request with a body has a share: the bytes that it has been given. Bytes are *fresh*
until the response begins, or for some seconds. The application still has to work on them, so they count
``_FRESH_COPIES`` times. After that they are *kept*. The memory that is measured then includes what the
application has made of them, so they count only for copies at the end of the body. Another body fits while
all shares together need no more than the memory that is left (``Memory``).

One body that comes piece by piece may exceed that, while no whole body is fresh. So one body always gets to
its end. If a request has been given much, and memory has not grown, its body *streams* through the
application. The bytes that have gone by no longer count then.
"""

import asyncio
import math
from collections.abc import Callable
from contextvars import Context

from ashapp.bridge.admission.free_memory import Memory
from ashapp.bridge.concurrency.futures import resolve

__all__ = ["PIECE", "PROOF", "Budget", "Share"]

#: After this many bytes it is measured whether a body streams.
PROOF = 1 << 20

# Bytes of memory that an application may need for a byte of a body: while it is fresh, and later. Control
# characters that are sent back as JSON need 15, JSON of empty objects 35, a form of empty fields 48.
_FRESH_COPIES = 60
_KEPT_COPIES = 2
# The same while no other body is fresh: with less, no body would fit.
_FEWEST_COPIES = 8

# Fresh bytes count as kept after this many seconds, or up to twice as many.
_SETTLING = 15.0

#: Bytes of a body that are admitted at once.
PIECE = 1 << 18


class Budget:
    """The shares of all requests of a worker. It has 1 / *processes* of *memory*. On the loop.

    ``limit`` bounds the bytes of all shares together; None: memory alone bounds them. ``on_change`` is called
    when there may be room for another body.
    """

    limit: int | None = None
    processes = 1

    def __init__(self, memory: Memory, on_change: Callable[[], None]) -> None:
        self.memory = memory
        self.on_change = on_change
        self.kept = 0
        self.fresh = 0
        self.shares: set[Share] = set()
        #: The shares that wait for room for more of their body.
        self.waiting: dict[Share, asyncio.Future[None]] = {}
        #: The only share that may exceed the budget.
        self.favoured: Share | None = None
        self._timer: asyncio.TimerHandle | None = None

    def left(self) -> float:
        """Return how many bytes of memory this worker may still take."""
        return self.memory.left() / self.processes

    def fits(self, size: int) -> bool:
        """Say whether the budget has room for a body of *size* bytes more."""
        if not self.shares:
            return True
        if self.limit is not None and self.kept + size > self.limit:
            return False
        copies = _FRESH_COPIES if self.fresh else _FEWEST_COPIES
        return copies * (self.fresh + size) + _KEPT_COPIES * (self.kept + size) <= self.left()

    def look(self) -> None:
        """After a change, let those bodies go on that have room now."""
        granted = 0
        for share, future in self.waiting.items():
            if future.done():
                continue
            if self.favoured is None and not any(other.is_whole and other.fresh for other in self.shares):
                self.favoured = share
            if share is self.favoured or self.fits(granted + PIECE):
                granted += PIECE
                future.set_result(None)
        self.on_change()

    def arm(self) -> None:
        """Start the timer after which fresh bytes count as kept, unless it runs."""
        if self._timer is None:
            # In an empty context, or the timer would keep the context of a request.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(_SETTLING, self._age, context=Context())

    def _age(self) -> None:
        self._timer = None
        for share in self.shares:
            share.age()
        if self.shares:
            self.arm()
        self.look()


class Share:
    """The bytes of its body that one request has been given. On the loop."""

    __slots__ = ("_budget", "_left", "_seen", "_young", "fresh", "is_whole", "kept", "streams")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.kept = 0
        self.fresh = 0
        # Fresh bytes that have come since the timer last fired.
        self._young = 0
        #: Whether the body has come whole, or no more of it will come.
        self.is_whole = False
        #: Whether the body streams: the application keeps nothing of it.
        self.streams = False
        # How much memory was left, and how much had been given, at the last measurement.
        self._left = budget.memory.left()
        self._seen = 0

    def add(self, size: int) -> None:
        """Count *size* bytes of the body that have come."""
        if size and not self.streams:
            self._budget.shares.add(self)
            self._budget.arm()
            self._young += size
            self._count(size, size)

    def may_grow(self) -> bool:
        """Say whether another piece of the body may come now."""
        return self.streams or self is self._budget.favoured or self._budget.fits(PIECE)

    async def wait_for_growth(self) -> None:
        """Wait until another piece of the body may come."""
        future = self._budget.waiting[self] = asyncio.get_running_loop().create_future()
        self._budget.look()
        try:
            await future
        finally:
            self._budget.waiting.pop(self, None)

    def end_growth(self) -> None:
        """Record that the body is complete, or that no more of it comes."""
        self.is_whole = True
        self._release()

    def settle(self) -> None:
        """Record that the response begins: the application is done with what it was given."""
        self._young = 0
        self.age()
        self._budget.look()

    def age(self) -> None:
        """Count as fresh only bytes that have come since the last call."""
        self._count(0, self._young - self.fresh)
        self._young = 0

    def end(self) -> None:
        """Give the whole share back: the request has ended, or its body streams."""
        self._young = 0
        self._count(-self.kept, -self.fresh)
        self._budget.shares.discard(self)
        self._release()

    def note_given(self, given: int) -> None:
        """Measure whether the body streams; *given* bytes have been given to the application so far.

        To be called about once for each ``PROOF`` bytes.
        """
        left = self._budget.memory.left()
        if math.isinf(left):
            return
        since, grown = given - self._seen, self._left - left
        if grown < -PROOF / 4:  # others have ended
            self._left, self._seen = left, given
        elif grown * 4 < since:
            self._left, self._seen = left, given
            self.streams = True
            self.end()
        elif self.streams and grown * 2 > since:
            self.streams = False
            self.add(int(grown))

    def _count(self, kept: int, fresh: int) -> None:
        self.kept += kept
        self.fresh += fresh
        self._budget.kept += kept
        self._budget.fresh += fresh

    def _release(self) -> None:
        """Stop waiting, and let other bodies go on."""
        if self._budget.favoured is self:
            self._budget.favoured = None
        if self in self._budget.waiting:
            resolve(self._budget.waiting.pop(self))
        self._budget.look()
