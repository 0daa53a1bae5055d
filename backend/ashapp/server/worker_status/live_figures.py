# SPDX-License-Identifier: MIT
"""The figures of the live page: how busy the service is at the moment.

Theory of operation. Each worker tells about once a second how many requests it has counted so far. A rate is
the difference between what it has told last and before that, by its own clock. So neither does it matter when
somebody looks, nor do the counts of a worker that ends go backwards.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ashapp.observe.metrics.errors import RecentErrors
from ashapp.server.worker_status.workers import Workers, WorkerStatus

__all__ = ["Figures", "Rates"]

# Seconds. A worker that has told nothing for so long has no rates: its loop is blocked.
_STALE = 5.0

_Key = tuple[str, str]


class Rates:
    """Requests per second, by route and place."""

    def __init__(self) -> None:
        # What each worker has told last, by its process id, and the rates that came of it.
        self._told: dict[int, tuple[WorkerStatus, dict[_Key, float]]] = {}

    def note(self, statuses: Iterable[WorkerStatus], now: float) -> dict[_Key, float]:
        """Return the rates of all workers together. Of one that is new it is the mean since its start.

        *now* is by ``time.monotonic``.
        """
        self._told = {status.pid: (status, self._rates(status)) for status in statuses}
        sums: dict[_Key, float] = defaultdict(float)
        for status, rates in self._told.values():
            if now - status.written < _STALE:
                for key, rate in rates.items():
                    sums[key] += rate
        return sums

    def _rates(self, status: WorkerStatus) -> dict[_Key, float]:
        before, rates = self._told.get(status.pid, (None, {}))
        if before is None or before.started != status.started:  # another process of the same number
            before = WorkerStatus(status.pid, 0.0, None, written=status.started)
        if status.written <= before.written:
            return rates
        counted = {(route, place): count for route, place, count in before.requests}
        return {
            (route, place): (count - counted.get((route, place), 0)) / (status.written - before.written)
            for route, place, count in status.requests
        }


class Figures:
    """The figures of *workers*. For one thread at a time."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._rates = Rates()

    def look(self) -> dict[str, Any]:
        """Return the figures as they are now: plain values only, rates per second, times in seconds."""
        statuses = self._workers.statuses()
        rates = self._rates.note(statuses, time.monotonic())
        totals: Counter[_Key] = Counter()
        for status in statuses:
            totals.update({(route, place): count for route, place, count in status.requests})
        places: dict[str, float] = defaultdict(float)
        for (_, place), rate in rates.items():
            places[place] += rate
        errors = RecentErrors.merge(error for status in statuses for error in status.errors)
        return {
            "time": time.time(),
            "uptime": time.time() - self._workers.began,
            "workers": len(statuses),
            "ready": sum(status.reason is None for status in statuses),
            "active": sum(status.load["active_requests"] for status in statuses),
            "websockets": sum(status.load["websockets"] for status in statuses),
            "places": dict(places),
            "routes": [
                {"route": route, "place": place, "rate": rates[route, place], "total": total}
                for (route, place), total in sorted(totals.items())
            ],
            "errors": [asdict(error) for error in errors],
        }
