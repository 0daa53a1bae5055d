# SPDX-License-Identifier: MIT
"""How long a request on the loop that has been cancelled goes on to wait for what it has handed off.

Theory of operation. A cancellation that comes while a hand-off runs waits for the end of that, and reaches
the application then, if the phase allows it. If the server waits for the request to end, and a request thread
does not come back, the call is given up after its ``grace``: the driving task ends, and the greenlet stays as
it is. It is taken to its end when the thread comes back.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import CoroutineType

from ashapp.bridge.concurrency.greenlets.pooled_greenlet import DONE
from ashapp.bridge.request.handoffs import CallOnLoop, Handoff, ThreadHandoff

__all__ = ["Patience"]

_log = logging.getLogger("ashapp.bridge")

# How often the application may wait anew when nothing comes any more.
_MOST_WAITS = 100


class Patience:
    """How long *call*, whose task has been cancelled, goes on to wait for its request thread. On the loop.

    A cancellation may be a time-out of the application's own, which has to wait for the thread. So nothing is
    given up while the server is known not to stop, nor, where that is not known, at the first cancellation of
    a coroutine.
    """

    def __init__(self, call: CallOnLoop) -> None:
        #: Whether the call has been given up.
        self.is_over = False
        self._call = call
        # How often the call has been cancelled while it waited for a hand-off.
        self._interruptions = 0

    async def wait(
        self, handoff: Handoff, error: asyncio.CancelledError, *, is_shielded: bool, is_own: bool
    ) -> None:
        """Wait on for *handoff*, though *error* has cancelled the driving task.

        Then, or where the hand-off can be withdrawn, *error* is raised, unless the phase *is_shielded*. If
        it *is_own*, the call has cancelled the task itself, and nobody waits for that.
        """
        while not (handoff.done or self.is_over):
            self._interruptions += 1
            if not is_shielded and handoff.withdraw():
                raise error
            is_limited = isinstance(handoff, ThreadHandoff) and not is_own
            try:
                await self._wait(handoff, self._call.grace if is_limited else None)
            except asyncio.CancelledError as another:
                error, is_own = another, False
        if self.is_over or not is_shielded:
            raise error

    async def _wait(self, handoff: Handoff, seconds: float | None) -> None:
        """Wait until *handoff* is done; every so many *seconds*, see whether to give the call up."""
        call = self._call
        while not handoff.done:
            await asyncio.wait([handoff.waiter(call.loop)], timeout=seconds)
            if not (handoff.done or self._may_be_its_own()):
                _log.error(
                    "%s was cancelled, but %s has not returned for %s s: given up", call, handoff, seconds
                )
                self.is_over = True
                handoff.on_late_end = self._unwind
                return

    def _may_be_its_own(self) -> bool:
        """Say whether the cancellation may be the application's own, or of a server that goes on."""
        stopping = self._call.thread.pool.is_stopping()
        return not stopping and (
            stopping is False or (self._call.greenlet.depth > 0 and self._interruptions < 2)
        )

    def _unwind(self) -> None:
        """Take the greenlet of the call to its end: its context is free by now.

        Nothing that it waits for comes any more. Otherwise it would be kept, or be for the garbage collector.
        """
        self.is_over = False  # so that the call lets it go on
        for _ in range(_MOST_WAITS):
            item = self._call.fail(asyncio.CancelledError())
            if item is DONE:
                with suppress(BaseException):
                    self._call.result()  # which leads to all that it has left
                return
            if type(item) is CoroutineType:
                item.close()
