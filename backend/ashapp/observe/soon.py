# SPDX-License-Identifier: MIT
"""Do once, for many requests, what need not be done for each."""

import asyncio
import time
from collections.abc import Callable

__all__ = ["PERIOD", "Soon"]

#: Seconds from one call to the next: 200 in a second cost next to nothing.
PERIOD = 0.005


class Soon:
    """Calls *function* once for all requests for a call since the last one. On the loop.

    It is called at the end of the current round of the loop; if the last call was just before, some
    milliseconds later; and at once where no loop is running.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._asked_in: asyncio.AbstractEventLoop | None = None
        self._done_at = float("-inf")

    def ask(self) -> None:
        """Let it be called."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._call()
            return
        if self._asked_in is not loop:
            self._asked_in = loop
            if time.monotonic() - self._done_at < PERIOD:
                loop.call_later(PERIOD, self._call)
            else:
                loop.call_soon(self._call)

    def _call(self) -> None:
        # Who asks from now on asks for the next time.
        self._asked_in = None
        self._done_at = time.monotonic()
        self._function()
