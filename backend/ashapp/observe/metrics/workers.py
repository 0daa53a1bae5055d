# SPDX-License-Identifier: MIT
"""Adds up the metrics of several workers, also of workers that have ended.

Theory of operation. In prometheus-client's multiprocess mode each process counts in files of its own, which
others can read. The counts of a worker must outlive it, or counters would go backwards. If its files stayed,
a service that recycles its workers would collect files without end. So when a worker has ended, its counts
are added to those of earlier workers, in the memory of the process that is scraped, and its files are
removed. A worker counts all its metrics in these files, those of the application too.
"""

import logging
import stat
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.samples import Sample

from ashapp.observe.metrics.files import adopt_metric_files

__all__ = ["MULTIPROCESS_VARIABLE", "WorkerMetrics"]

#: Turns the multiprocess mode on, if it is set before the first metric is made.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_log = logging.getLogger("ashapp.observe")

# The types that are added up. Gauges are not: those of live processes only go, the others stay.
_ACCUMULATED = ("counter", "histogram", "summary")

# How often the files are read again, if some are made or removed meanwhile.
_ATTEMPTS = 5

# When this is imported, as the application may make a metric when it is imported itself.
adopt_metric_files()


class WorkerMetrics:
    """A collector of the counts of all processes that count in *folder*.

    If others read the folder too (*is_shared*), the files of ended workers stay.
    """

    def __init__(self, folder: Path, *, is_shared: bool = False) -> None:
        self._folder = folder
        self._is_shared = is_shared
        self._lock = threading.Lock()
        # The counts of ended workers, by the name of the metric.
        self._ended: dict[str, Metric] = {}
        self._unreadable: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        """Return the sums. A file that can't be read is left out."""
        with self._lock:
            files = [str(path) for path in self._folder.glob("*.db") if _is_regular(path)]
            for _ in range(_ATTEMPTS):
                try:
                    return _sum(MultiProcessCollector.merge(files), self._ended.values())
                except Exception:
                    # One is being made or removed just now, or was not written to its end.
                    files = [*filter(self._is_readable, files)]
            return _sum(self._ended.values())

    def retire(self, pid: int) -> None:
        """Add the counts of a process that has ended to the counts of earlier ones."""
        files = [self._folder / f"{kind}_{pid}.db" for kind in _ACCUMULATED]
        with self._lock:
            mark_process_dead(pid, str(self._folder))
            if self._is_shared:
                return
            try:
                read = [str(path) for path in files if path.exists() and path.stat().st_size]
                metrics = _sum(self._ended.values(), MultiProcessCollector.merge(read))
                self._ended = {metric.name: metric for metric in metrics}
            finally:
                for path in files:
                    path.unlink(missing_ok=True)

    def _is_readable(self, file: str) -> bool:
        try:
            MultiProcessCollector.merge([file])
        except (FileNotFoundError, struct.error):  # it is being removed or made just now
            return False
        except Exception as error:
            if file not in self._unreadable:
                self._unreadable.add(file)
                _log.warning("What has been counted in %s can't be read: %s", file, error)
            return False
        return True


def _is_regular(path: Path) -> bool:
    """Say whether *path* is a regular file: no pipe that a read would wait for, and no link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _sum(*collections: Iterable[Metric]) -> list[Metric]:
    """Return the metrics of all *collections*; samples of one name and the same labels are added up."""
    sums: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = defaultdict(
        lambda: defaultdict(float)
    )
    for metrics in collections:
        for metric in metrics:
            sums.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            for sample in metric.samples:
                values[metric.name][sample.name, tuple(sample.labels.items())] += sample.value
    for name, metric in sums.items():
        metric.samples = [
            Sample(series, dict(labels), value) for (series, labels), value in values[name].items()
        ]
    return list(sums.values())
