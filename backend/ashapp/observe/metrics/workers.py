# SPDX-License-Identifier: MIT
"""Add up the metrics of several workers, of those that have ended too.

Theory of operation. In prometheus-client's multiprocess mode each process counts in files of its own,
mapped into memory, that others can read. A worker's last counts must outlive it, else counters would go
backwards. Keeping its files would do, but a service that recycles its workers would collect them without
end, and each scrape would read them all. So when a worker has ended its counts are added to those of the
workers that ended before, in the memory of the process that is scraped, and its own files are removed.

All metrics of a process are counted in its files, so those of the application are there as well.
"""

import json
import logging
import stat
import struct
import threading
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ashapp.observe.metrics.files import adopt_metric_files

__all__ = ["MULTIPROCESS_VARIABLE", "WorkerMetrics"]

#: Turns the multiprocess mode on, if it is set before the first metric is made.
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_log = logging.getLogger("ashapp.observe")

# What is added up. Gauges are not: those that make sense only of live processes go, the others stay.
_ACCUMULATED = ("counter", "histogram", "summary")

# When this is imported, as the application may make a metric when it is imported itself.
adopt_metric_files()


class WorkerMetrics:
    """A collector of what the processes that count in *folder* have counted.

    Where others read it too (*is_shared*), the files of those that have ended stay.
    """

    def __init__(self, folder: Path, *, is_shared: bool = False) -> None:
        self._folder = folder
        self._is_shared = is_shared
        self._lock = threading.Lock()
        # What ended workers have counted: by type of the metric, by the key in the file.
        self._ended: dict[str, dict[str, float]] = {kind: defaultdict(float) for kind in _ACCUMULATED}
        self._unreadable: set[str] = set()

    def collect(self) -> Iterable[Metric]:
        """Return the sums. A file that can't be read is left out."""
        with self._lock:
            metrics = self._read([str(path) for path in self._folder.glob("*.db") if _is_regular(path)])
            for kind, counts in self._ended.items():
                for key, value in counts.items():
                    _add(metrics, kind, key, value)
            return list(MultiProcessCollector._accumulate_metrics(metrics, True))  # noqa: FBT003, SLF001

    def retire(self, pid: int) -> None:
        """Add the counts of a process that has ended to those of the others that have."""
        files = {kind: self._folder / f"{kind}_{pid}.db" for kind in _ACCUMULATED}
        with self._lock:
            if self._is_shared:
                mark_process_dead(pid, str(self._folder))
                return
            try:
                mark_process_dead(pid, str(self._folder))
                for kind, path in files.items():
                    if path.exists() and path.stat().st_size:
                        # All or nothing: what can't be read is read before anything is added.
                        for key, value, _, _ in list(MmapedDict.read_all_values_from_file(str(path))):
                            self._ended[kind][key] += value
            finally:
                for path in files.values():
                    path.unlink(missing_ok=True)

    def _read(self, files: list[str]) -> dict[str, Metric]:
        read: dict[str, Metric]
        try:
            read = MultiProcessCollector._read_metrics(files)  # noqa: SLF001 - ``merge`` adds up too early
        except Exception:
            # One is being made or removed just now, or was not written to its end.
            read = MultiProcessCollector._read_metrics([*filter(self._is_readable, files)])  # noqa: SLF001
        return read

    def _is_readable(self, file: str) -> bool:
        try:
            MultiProcessCollector._read_metrics([file])  # noqa: SLF001 - see above
        except (FileNotFoundError, struct.error):  # it is being removed or made just now
            return False
        except Exception as error:
            if file not in self._unreadable:
                self._unreadable.add(file)
                _log.warning("What has been counted in %s can't be read: %s", file, error)
            return False
        return True


def _is_regular(path: Path) -> bool:
    """Say whether there is a file at *path*, and not what would have to be waited for, or a link."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return False


def _add(metrics: dict[str, Metric], kind: str, key: str, value: float) -> None:
    name, sample, labels, text = json.loads(key)
    metric = metrics.get(name)
    if metric is None:
        metric = metrics[name] = Metric(name, text, kind)
    # As prometheus-client keeps labels until samples are added up.
    metric.add_sample(sample, tuple(sorted(labels.items())), value)  # type: ignore[arg-type]
