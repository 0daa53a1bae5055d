# SPDX-License-Identifier: MIT
"""Exponential back-off: starts workers less and less often while they fail to start."""

import time

__all__ = ["BackOff"]

_LONGEST = 30.0


class BackOff:
    """Tells when the next worker may start: after *allowance* failures in a row, in 1, 2, 4, … 30 s.

    A worker that has served and then dies is no failure.
    """

    def __init__(self, allowance: int) -> None:
        self._allowance = allowance
        self.succeeded()

    @property
    def seconds(self) -> float:
        """Seconds until a worker may be started."""
        return max(self._next_start - time.monotonic(), 0)

    def failed(self) -> float:
        """Note that a worker did not get to serve; return the seconds until the next may start."""
        self._failures += 1
        excess = self._failures - self._allowance
        if excess > 0:
            self._next_start = time.monotonic() + min(2.0 ** (excess - 1), _LONGEST)
        return self.seconds

    def succeeded(self) -> None:
        """Note that a worker serves: the next may start at once."""
        self._failures = 0
        self._next_start = float("-inf")
