# SPDX-License-Identifier: MIT
"""Start workers that die soon after their start less and less often."""

import time
from collections.abc import Callable

__all__ = ["STABLE", "BackOff"]

#: Seconds that a worker must live not to count as one that dies soon.
STABLE = 10.0

_LONGEST = 30.0


class BackOff:
    """Tells when the next worker may be started. The first *allowance* early deaths cost no time.

    *clock* gives the time in seconds, and is monotonic.
    """

    def __init__(self, allowance: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self._deaths = 0
        self._next_start = float("-inf")

    @property
    def seconds(self) -> float:
        """Seconds until a worker may be started; 0 if one may be now."""
        return max(self._next_start - self._clock(), 0)

    def died(self, age: float) -> float:
        """Note that a worker died at an *age*, in seconds; return the seconds until the next may start."""
        if age < STABLE:
            self._deaths += 1
            excess = self._deaths - self._allowance
            if excess > 0:
                self._next_start = self._clock() + min(2.0 ** (excess - 1), _LONGEST)
        return self.seconds

    def survived(self) -> None:
        """Note that a worker has lived for long enough: what was wrong is over."""
        self._deaths = 0
