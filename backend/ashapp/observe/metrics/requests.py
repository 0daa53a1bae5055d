# SPDX-License-Identifier: MIT
"""Count and time HTTP requests for Prometheus.

The labels have few values: a route is the rule that Flask has matched, or empty, and an unknown method is
``_OTHER``.

Theory of operation. A request that has ended is only put aside. The requests of some milliseconds are counted
together, or earlier if somebody asks for the counts. The counts are written to the metrics when somebody
asks, and once a second; to files that other processes read, at once.
"""

import os
import threading
import time
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Metric

from ashapp.observe.metrics.errors import RecentError, RecentErrors
from ashapp.observe.metrics.families import Families
from ashapp.observe.metrics.tally import Tally
from ashapp.observe.metrics.workers import MULTIPROCESS_VARIABLE
from ashapp.observe.observation import METHODS, Observation
from ashapp.observe.socket_observation import SWITCHED

__all__ = ["SERVER", "RequestMetrics"]

#: The place of a request that the server itself has answered, not the application.
SERVER = "server"

_Key = tuple[str, str, str | None, int | None, str | None]


class RequestMetrics:
    """A sink of the observer, and a collector of *registry*.

    A client that has read its response finds the request counted. In files that other processes read, it is
    counted some milliseconds later.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        # How many requests have begun, and how many of those that ended are counted; without WebSockets.
        self._begun = self._ended = 0
        self._registry = CollectorRegistry()
        self._families = Families(self._registry)
        self._waits = Tally(self._families.waits)
        # Totals that other code counts, as they were when they were last taken over.
        self._taken_over: Counts[Counter] = Counts()
        self._tallies: dict[_Key, Tally] = {}
        #: Requests that were answered with 400 or more.
        self.errors = RecentErrors()
        # Requests that have ended and are not counted yet.
        self._waiting: deque[Observation] = deque()
        #: Puts a request or a WebSocket that has ended aside, to be counted.
        self.put: Callable[[Observation], None] = self._waiting.append
        # Tallies with durations that are not written yet.
        self._touched: list[Tally] = []
        self._lock = threading.Lock()
        # Whether other processes read the metrics.
        self._is_in_files = MULTIPROCESS_VARIABLE in os.environ
        registry.register(self)

    def begin(self, observation: Observation) -> None:
        """Count a request that begins."""
        if observation.details is None:
            self._begun += 1

    @property
    def active(self) -> int:
        """How many requests have begun and not ended, without WebSockets. From any thread."""
        with self._lock:
            self._fold()
        return self._begun - self._ended

    def collect(self) -> Iterable[Metric]:
        """Return the metrics. From any thread."""
        self.write()
        yield from self._registry.collect()

    def flush(self) -> None:
        """Count all requests that have ended. Write the sums, if they are in files that others read."""
        if self._is_in_files:
            self.write()
        else:
            with self._lock:
                self._fold()

    def write(self) -> None:
        """Count all requests that have ended, and write the sums. From any thread."""
        with self._lock:
            self._fold()
            for tally in (self._waits, *self._touched):
                tally.write()
            self._touched.clear()

    def _fold(self) -> None:
        take, tallies, touched = self._waiting.popleft, self._tallies, self._touched
        for _ in range(len(self._waiting)):
            observation = take()
            scope, status, place = observation.scope, observation.status, observation.place
            if observation.details is None:
                self._ended += 1
            elif status == SWITCHED:
                self._families.closes.labels(observation.details.get("close_code") or "").inc()
                continue
            key = (scope.get("method", "GET"), scope["scheme"], observation.route, status, place)
            tally = tallies.get(key) or self._tally(key)
            if not tally.values:
                touched.append(tally)
            tally.values.append(observation.duration)
            if place == "thread":
                self._waits.values.append(observation.queued)
            is_plain = status is not None and status < 400 and not observation.disconnected
            if not is_plain or observation.span is not None:
                self._note_more(observation, tally)

    def _note_more(self, observation: Observation, tally: Tally) -> None:
        """Count a request with something unusual."""
        if observation.span is not None and (labels := _exemplar(observation)):
            tally.note_exemplar(observation.duration, labels)
        status = observation.status
        if observation.place is None and status == 503:
            self._families.shed.inc()
        if observation.disconnected:
            self._families.disconnects.inc()
        if status is not None and status >= 400:
            self.errors.note(RecentError(observation.route or "", status, time.time()))

    def totals(self) -> Counts[tuple[str, str]]:
        """Return how many requests have been written, by route and place. From any thread."""
        totals: Counts[tuple[str, str]] = Counts()
        with self._lock:
            for (_, _, route, _, place), tally in self._tallies.items():
                totals[route or "", place or SERVER] += tally.count
        return totals

    def note_lag(self, seconds: float) -> None:
        """Count a lag of the event loop."""
        self._families.lags.observe(seconds)

    def note_block(self, endpoint: str) -> None:
        """Count that the view of *endpoint* has blocked the event loop. From any thread."""
        self._families.blocks.labels(endpoint).inc()

    def take_over(self, refused: Mapping[int, int], messages: Mapping[str, int], lost_lines: int) -> None:
        """Take over the totals that other code of this process has counted.

        *refused* are requests by status, *messages* those of WebSockets by direction; *lost_lines* are lines
        of the log that were lost.
        """
        families = self._families
        counts = [(families.refused.labels(status), total) for status, total in refused.items()]
        counts += [(families.messages.labels(direction), total) for direction, total in messages.items()]
        for counter, total in [*counts, (families.lost_lines, lost_lines)]:
            counter.inc(total - self._taken_over[counter])
            self._taken_over[counter] = total

    def _tally(self, key: _Key) -> Tally:
        method, scheme, route, status, place = key
        # Clients may invent methods: these must not fill the memory.
        method = method if method in METHODS else "_OTHER"
        scheme = "https" if scheme in {"https", "wss"} else "http"
        key = (method, scheme, route, status, place)
        if key not in self._tallies:
            labels = (method, route or "", status or "", scheme, place or SERVER)
            self._tallies[key] = Tally(self._families.durations.labels(*labels))
        return self._tallies[key]


def _exemplar(observation: Observation) -> dict[str, str] | None:
    """Return the trace of a request, if it is sampled. Metrics in files keep none."""
    if not observation.span.get_span_context().trace_flags.sampled:
        return None
    return {"trace_id": observation.trace_id, "span_id": observation.span_id}
