# SPDX-License-Identifier: MIT
"""Ask a service for a while, and tell how it did: a line of JSON, and exit code 1 for too many failures.

It needs nothing but Python. Its variables are ``LOAD_URL``, ``LOAD_CONNECTIONS``, ``LOAD_SECONDS``, and
``LOAD_RATE``, requests per second at most over all of them, and ``LOAD_FAILURES``, the share that may fail.
"""

import http.client
import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

#: Seconds until a request without an answer has failed.
TIMEOUT = 10


class Connection:
    """One client, which keeps its connection, and what came of its requests."""

    def __init__(self, url: str, interval: float) -> None:
        self._url = urlsplit(url)
        self._interval = interval
        self.outcomes: Counter[str] = Counter()
        self.durations: list[float] = []

    def run(self, until: float) -> None:
        """Send a request after each interval, until the clock says so."""
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=TIMEOUT)
        due = time.monotonic()
        while (now := time.monotonic()) < until:
            if due > now:
                time.sleep(min(due, until) - now)
                continue
            due = max(due + self._interval, now)
            self.outcomes[self._ask(connection)] += 1
            self.durations.append(time.monotonic() - now)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> str:
        """Return the status, or the name of what went wrong."""
        target = f"{self._url.path or '/'}?{self._url.query}".removesuffix("?")
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # A service that is away is not asked in a tight loop.
            time.sleep(0.1)
            return type(error).__name__
        return str(response.status)


def summary(connections: Sequence[Connection], seconds: float) -> dict[str, Any]:
    """Return what came of all requests: counts, the rate, and milliseconds by percentile."""
    outcomes: Counter[str] = sum((each.outcomes for each in connections), Counter())
    durations = sorted(duration for each in connections for duration in each.durations)
    failed = sum(count for outcome, count in outcomes.items() if not outcome.startswith(("2", "3")))
    positions = {percent: len(durations) * percent // 100 for percent in (50, 95, 99)}
    return {
        "requests": len(durations),
        "failed": failed,
        "per_second": round(len(durations) / seconds, 1),
        "outcomes": dict(outcomes),
        "milliseconds": {f"p{each}": round(durations[at] * 1000, 1) for each, at in positions.items()},
    }


def main() -> int:
    """Return the exit code: 1 where more has failed than may."""
    count = int(os.environ.get("LOAD_CONNECTIONS", "20"))
    seconds = float(os.environ.get("LOAD_SECONDS", "60"))
    interval = count / float(os.environ.get("LOAD_RATE", "200"))
    allowed = float(os.environ.get("LOAD_FAILURES", "0"))
    connections = [Connection(os.environ["LOAD_URL"], interval) for _ in range(count)]
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=each.run, args=[until]) for each in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome = summary(connections, seconds)
    sys.stdout.write(f"{json.dumps(outcome)}\n")
    return int(outcome["failed"] > allowed * outcome["requests"])


if __name__ == "__main__":
    sys.exit(main())
