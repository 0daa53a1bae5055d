# SPDX-License-Identifier: MIT
"""Collects values for a histogram: to add many at once takes a tenth of the time."""

import time
from bisect import bisect_left, bisect_right

from prometheus_client import Histogram
from prometheus_client.samples import Exemplar

__all__ = ["Tally"]


class Tally:
    """Collects observations for *histogram*, all of whose labels are set.

    It uses two private parts of prometheus-client: the bounds of a histogram's buckets, and their values.
    """

    def __init__(self, histogram: Histogram) -> None:
        self._sum = histogram._sum  # noqa: SLF001
        self._buckets = histogram._buckets  # noqa: SLF001
        self._bounds = histogram._upper_bounds  # noqa: SLF001
        #: The values that have not been added to the histogram.
        self.values: list[float] = []
        self._exemplars: dict[int, Exemplar] = {}
        #: How many values have been added to the histogram.
        self.count = 0

    def note_exemplar(self, value: float, labels: dict[str, str]) -> None:
        """Note the *labels* of an example with this *value*."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar(labels, value, time.time())

    def write(self) -> None:
        """Add all values since the last time to the histogram."""
        values = sorted(self.values)
        self.values.clear()
        self._sum.inc(sum(values))
        done = 0
        for bucket, bound in enumerate(self._bounds):
            if done == len(values):
                break
            at = bisect_right(values, bound, done)
            if at > done:
                self._buckets[bucket].inc(at - done)
                done = at
        self.count += len(values)
        for bucket, exemplar in self._exemplars.items():
            self._buckets[bucket].set_exemplar(exemplar)
        self._exemplars.clear()
