# SPDX-License-Identifier: MIT
"""Start workers less and less often as long as none that is started gets to serve."""

import time
from collections.abc import Callable

__all__ = ["BackOff"]

_LONGEST = 30.0


class BackOff:
    """Tells when the next worker may be started. The first *allowance* failures in a row cost no time.

    A worker that has served and then dies is no failure: that its start works is known, and who waits for
    another has nobody to answer what comes meanwhile. *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, allowance: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self._failures = 0
        self._next_start = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds until a worker may be started; 0 if one may be now."""
        return max(self._next_start - self._clock(), 0)

    def failed(self) -> float:
        """Note that a worker did not get to serve; return the seconds until the next may start."""
        self._failures += 1
        excess = self._failures - self._allowance
        if excess > 0:
            self._next_start = self._clock() + min(2.0 ** (excess - 1), _LONGEST)
        return self.seconds

    def succeeded(self) -> None:
        """Note that a worker serves: what was wrong is over, and the next may start at once."""
        self._failures = 0
        self._next_start = float("-inf")
