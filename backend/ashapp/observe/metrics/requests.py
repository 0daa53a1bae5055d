# SPDX-License-Identifier: MIT
"""Count and time HTTP requests for Prometheus.

Names, units and labels are those of the OpenTelemetry semantic conventions for HTTP servers, as its exporter
for Prometheus writes them. What these don't know begins with ``ashapp_``. The labels have few values: a route
is the rule that Flask has matched, or empty, and an unknown method is ``_OTHER``.
"""

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram

from ashapp.observe.observation import Observation

__all__ = ["DURATION_BUCKETS", "SERVER", "RequestMetrics"]

#: Seconds; OpenTelemetry, "Semantic conventions for HTTP metrics", advice for http.server.request.duration.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SHORT_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: The place of a request that the server has answered itself, before the application.
SERVER = "server"

# The conventions' known methods: RFC 9110, and PATCH of RFC 5789.
_METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})

_Key = tuple[str, str, str | None, int | None, str | None]


class RequestMetrics:
    """A sink of the observer whose metrics are in *registry*. On the loop.

    A request is counted before the last message of its response is handed to the server: whoever has read a
    response finds it counted.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.begun = 0
        self.ended = 0
        histogram = partial(Histogram, registry=registry, buckets=_SHORT_BUCKETS)
        counter = partial(Counter, registry=registry)
        self._durations = Histogram(
            "http_server_request_duration_seconds",
            "Time from the head of a request to the end of its response.",
            ["http_request_method", "http_route", "http_response_status_code", "url_scheme", "ashapp_place"],
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        self._waits = histogram("ashapp_thread_wait_seconds", "Time that requests have waited for a thread.")
        self._lags = histogram(
            "ashapp_event_loop_lag_seconds",
            "How much later than it should the event loop has called back, measured all the time.",
        )
        self._disconnects = counter(
            "ashapp_client_disconnects", "Requests whose client has gone before the response was complete."
        )
        self._shed = counter(
            "ashapp_requests_shed", "Requests that were refused because there were too many."
        )
        self._refused = counter(
            "ashapp_requests_refused",
            "Requests that the server has refused itself, as wrong, too large or too late.",
            ["http_response_status_code"],
        )
        self._blocks = counter(
            "ashapp_event_loop_blocks",
            "Times that a view has blocked the event loop for longer than its limit.",
            ["ashapp_endpoint"],
        )
        self._lost_lines = counter(
            "ashapp_log_lines_lost", "Lines of the log that were lost, because nobody read them in time."
        )
        self._noted_refusals: dict[int, int] = {}
        self._noted_lines = 0
        self._observers: dict[_Key, Callable[[float], None]] = {}

    @property
    def active(self) -> int:
        """Requests that have begun and not ended."""
        return self.begun - self.ended

    def begin(self, observation: Observation) -> None:  # noqa: ARG002 - the signature of a sink
        """Count a request that begins."""
        self.begun += 1

    def __call__(self, observation: Observation) -> None:
        """Count a request that has ended."""
        self.ended += 1
        scope = observation.scope
        place = observation.place
        key = (scope["method"], scope.get("scheme", "http"), observation.route, observation.status, place)
        observe = self._observers.get(key) or self._observer(key)
        observe(observation.duration)
        if place == "thread":
            self._waits.observe(observation.queued)
        elif place is None and observation.status == 503:
            self._shed.inc()
        if observation.disconnected:
            self._disconnects.inc()

    def note_lag(self, seconds: float) -> None:
        """Note how late the event loop was once."""
        self._lags.observe(seconds)

    def note_block(self, endpoint: str) -> None:
        """Count that the view of *endpoint* has blocked the event loop. From any thread."""
        self._blocks.labels(endpoint).inc()

    def note_refusals(self, totals: Mapping[int, int]) -> None:
        """Take over how many requests have been refused so far, by status."""
        for status, total in totals.items():
            self._refused.labels(status).inc(total - self._noted_refusals.get(status, 0))
            self._noted_refusals[status] = total

    def note_lost_lines(self, total: int) -> None:
        """Take over how many lines of the log have been lost so far."""
        self._lost_lines.inc(total - self._noted_lines)
        self._noted_lines = total

    def write_rest(self) -> None:
        """Write what has been counted and has found no room in a file, if there is some now."""
        self._disconnects.inc(0)  # each write does so, but there may be none

    def _observer(self, key: _Key) -> Callable[[float], None]:
        method, scheme, route, status, place = key
        observe = self._durations.labels(
            method if method in _METHODS else "_OTHER",
            route or "",
            status or "",
            "https" if scheme == "https" else "http",
            place or SERVER,
        ).observe
        # What clients make up must not fill the memory.
        if method in _METHODS and scheme in {"http", "https"}:
            self._observers[key] = observe
        return observe
