# SPDX-License-Identifier: MIT
"""The figures of the live page: how busy the service is at the moment."""

import time
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from ashapp.observe.metrics.errors import RecentErrors
from ashapp.server.worker_status.workers import Workers

__all__ = ["live_figures"]

# Seconds. A worker that has given no sign of life for so long has no rates: its loop is blocked.
_STALE = 5.0


def live_figures(workers: Workers) -> dict[str, Any]:
    """Return the figures of *workers* now: plain values only, rates per second, times in seconds."""
    statuses = workers.statuses()
    totals: Counter[tuple[str, str]] = Counter()
    rates: dict[tuple[str, str], float] = defaultdict(float)
    places: dict[str, float] = defaultdict(float)
    for status in statuses:
        for route, place, total, rate in status.requests:
            totals[route, place] += total
            if status.age < _STALE:
                rates[route, place] += rate
                places[place] += rate
    errors = RecentErrors.merge(error for status in statuses for error in status.errors)
    return {
        "time": time.time(),
        "uptime": time.time() - workers.began,
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
