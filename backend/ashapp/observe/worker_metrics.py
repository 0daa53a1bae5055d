# SPDX-License-Identifier: MIT
"""Add up the metrics of several workers, of those that have ended too.

Theory of operation. In prometheus-client's multiprocess mode each process counts in files of its own,
mapped into memory, that others can read. A worker's last counts must outlive it, else counters would go
backwards. Keeping its files would do, but a service that recycles its workers would collect them without
end, and each scrape would read them all. So when a worker has ended its counts are added to those of the
workers that ended before, in one file for each type of metric, and its own files are removed.

All metrics of a process are counted in its files, so those of the application are there as well.
"""

import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

__all__ = ["MULTIPROCESS_VARIABLE", "WorkerMetrics"]

#: Turns the multiprocess mode on, if it is set before the first metric is made.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# What is added up. Gauges are not: those that make sense only of live processes go, the others stay.
_ACCUMULATED = ("counter", "histogram", "summary")


class WorkerMetrics:
    """A collector of what the processes that count in *folder* have counted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Return the sums."""
        collector = MultiProcessCollector(None, str(self._folder))
        with self._lock:
            return list(collector.collect())

    def retire(self, pid: int) -> None:
        """Add the counts of a process that has ended to those of the others that have."""
        with self._lock:
            mark_process_dead(pid, str(self._folder))
            for kind in _ACCUMULATED:
                path = self._folder / f"{kind}_{pid}.db"
                if path.exists():
                    try:
                        _add(path, self._folder / f"{kind}_ended.db")
                    finally:
                        path.unlink()


def _add(source: Path, target: Path) -> None:
    # All or nothing: what can't be read is read before anything is added.
    counts = list(MmapedDict.read_all_values_from_file(str(source)))
    with closing(MmapedDict(str(target))) as sums:
        for key, value, timestamp, _ in counts:
            sums.write_value(key, sums.read_value(key)[0] + value, timestamp)
