# SPDX-License-Identifier: MIT
"""Sees that requests whose client has gone do not wait for a thread any longer.

A client that has given up, or whose proxy has, often tries again: were the first request left in the queue,
the threads would be kept busy with answers that nobody reads, just when there are too few of them.
Most requests wait for a moment only, so they are not looked at one by one: one timer for all of them runs
while there are requests, and those that it meets a second time are watched from then on.
"""

import asyncio

from ashapp.bridge.concurrency.thread_pool import ThreadPool
from ashapp.bridge.request.thread_call import ThreadCall

__all__ = ["QueueWatch"]

# Seconds between two looks. A request that waits for less than that is not watched.
_INTERVAL = 0.25


class QueueWatch:
    """Looks at the calls that wait for a thread of *pool*. On *loop*."""

    def __init__(self, pool: ThreadPool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look at the queue after a while, and as long as there is one."""
        if self._timer is None:
            self._timer = self._loop.call_later(_INTERVAL, self._look)

    def _look(self) -> None:
        self._timer = None
        waiting = self._pool.waiting()
        for handoff in waiting:
            call = getattr(handoff, "__self__", None)
            if isinstance(call, ThreadCall):
                call.note_waiting()
        if waiting:
            self.start()
