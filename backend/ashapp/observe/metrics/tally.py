# SPDX-License-Identifier: MIT
"""Measure many values before a histogram is told: telling it one by one takes ten times as long."""

from bisect import bisect_left
from collections import Counter

from prometheus_client import Histogram

__all__ = ["Tally"]


class Tally:
    """Values that are measured for *histogram*, which has no labels left to give.

    What is reached of prometheus-client's are the bounds of a histogram's buckets, and its values.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._sum = histogram._sum  # noqa: SLF001
        self._buckets = histogram._buckets  # noqa: SLF001
        self._bounds = histogram._upper_bounds  # noqa: SLF001
        self._counts: Counter[int] = Counter()
        self._total = 0.0
        #: How many values the histogram has been told of.
        self.count = 0

    def add(self, value: float) -> None:
        """Measure *value*."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def write(self) -> None:
        """Tell the histogram of all that has been measured since the last time."""
        self._sum.inc(self._total)
        for bucket, count in self._counts.items():
            self._buckets[bucket].inc(count)
            self.count += count
        self._counts.clear()
        self._total = 0.0
