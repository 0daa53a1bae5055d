# SPDX-License-Identifier: MIT
"""The metrics of requests and WebSockets: their names, units and labels, and what each tells.

Metrics of requests have the names of the OpenTelemetry semantic conventions for HTTP servers, as its exporter
for Prometheus writes them. The names of all other metrics begin with ``ashapp_``.
"""

from functools import partial

from prometheus_client import CollectorRegistry, Counter, Histogram

__all__ = ["DURATION_BUCKETS", "Families"]

#: Seconds; OpenTelemetry, "Semantic conventions for HTTP metrics", advice for http.server.request.duration.
DURATION_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_SHORT_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Families:
    """The metrics, in *registry*."""

    def __init__(self, registry: CollectorRegistry) -> None:
        counter = partial(Counter, registry=registry)
        histogram = partial(Histogram, registry=registry, buckets=_SHORT_BUCKETS)
        self.durations = Histogram(
            "http_server_request_duration_seconds",
            "Time from the head of a request to the end of its response.",
            ["http_request_method", "http_route", "http_response_status_code", "url_scheme", "ashapp_place"],
            registry=registry,
            buckets=DURATION_BUCKETS,
        )
        self.waits = histogram("ashapp_thread_wait_seconds", "Time that requests have waited for a thread.")
        self.disconnects = counter(
            "ashapp_client_disconnects", "Requests whose client has gone before the response was complete."
        )
        self.shed = counter("ashapp_requests_shed", "Requests that were refused because there were too many.")
        self.refused = counter(
            "ashapp_requests_refused",
            "Requests that the server has refused itself, as wrong, too large or too late.",
            ["http_response_status_code"],
        )
        self.closes = counter(
            "ashapp_websocket_closes", "WebSockets that were open and have ended.", ["ashapp_close_code"]
        )
        self.messages = counter(
            "ashapp_websocket_messages", "Messages of WebSockets, received and sent.", ["ashapp_direction"]
        )
        self._add_those_of_the_process(counter, histogram)

    def _add_those_of_the_process(self, counter: partial[Counter], histogram: partial[Histogram]) -> None:
        self.lags = histogram(
            "ashapp_event_loop_lag_seconds",
            "How much later than it should the event loop has called back, measured all the time.",
        )
        self.blocks = counter(
            "ashapp_event_loop_blocks",
            "Times that a view has blocked the event loop for longer than its limit.",
            ["ashapp_endpoint"],
        )
        self.lost_lines = counter(
            "ashapp_log_lines_lost", "Lines of the log that were lost, because nobody read them in time."
        )
