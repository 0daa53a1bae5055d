# SPDX-License-Identifier: MIT
"""WebSockets and event streams, which are told to leave when the service ends.

By themselves they might not end for hours. They are told one by one, spread over the time of the drain, so
that their clients do not all come back to another worker at once. During the drain, proxies may still send
new ones here, and these are let in. At the end of the drain all that are left are told at once.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol

__all__ = ["DEPARTURES", "Departures", "Leaving"]

#: The key of the environ that has them.
DEPARTURES = "ashapp.departures"


class Leaving(Protocol):
    """A connection that can be told to leave."""

    @property
    def has_begun(self) -> bool:
        """Whether the handshake is over. A handshake may take until the end of the drain."""
        ...

    async def leave(self) -> None:
        """End it, as the service restarts; do nothing if it has ended."""


class Departures:
    """The connections that are told to leave, on the loop. Members may come and go on any thread."""

    def __init__(self) -> None:
        self.members: set[Leaving] = set()
        #: Whether the service drains.
        self.has_begun = False
        self._end = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_over(self) -> bool:
        """Whether all have been told to leave, and no more are let in."""
        return self.has_begun and not self.seconds_left

    @property
    def seconds_left(self) -> float:
        """The seconds until the last is told to leave, at least 0."""
        return max(self._end - time.monotonic(), 0.0)

    def drain(self, seconds: float) -> None:
        """Tell those that have begun to leave, spread evenly over *seconds*; at the end, tell the rest."""
        self.has_begun = True
        self._end = time.monotonic() + seconds
        members = [member for member in list(self.members) if member.has_begun]
        self._begin(self._send_away(members, seconds))

    async def _send_away(self, members: list[Leaving], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for number, member in enumerate(members):
            await asyncio.sleep(begin + seconds * number / len(members) - loop.time())
            self._begin(member.leave())  # which may wait for a client that is slow
        await asyncio.sleep(begin + seconds - loop.time())
        for late in self.members.difference(members):
            self._begin(late.leave())

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
