# SPDX-License-Identifier: MIT
"""Exponential back-off: starts workers less and less often while none of them gets to serve."""

import time
from collections.abc import Callable

__all__ = ["BackOff"]

_LONGEST = 30.0


class BackOff:
    """Tells when the next worker may be started: after *allowance* failures in a row, in 1, 2, 4, … 30 s.

    A worker that has served and then dies is no failure. *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, allowance: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self.succeeded()

    @property
    def seconds(self) -> float:
        """Seconds until a worker may be started."""
        return max(self._next_start - self._clock(), 0)

    def failed(self) -> float:
        """Note that a worker did not get to serve; return the seconds until the next may start."""
        self._failures += 1
        excess = self._failures - self._allowance
        if excess > 0:
            self._next_start = self._clock() + min(2.0 ** (excess - 1), _LONGEST)
        return self.seconds

    def succeeded(self) -> None:
        """Note that a worker serves: the next may start at once."""
        self._failures = 0
        self._next_start = float("-inf")
