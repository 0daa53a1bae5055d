# SPDX-License-Identifier: MIT
"""How many WebSockets an application has and may have, and how many of them hold a thread.

A WebSocket may live for hours. So it is no request in flight, and holds no thread that requests need. A
handler that does not run on the loop has a thread of another pool. WebSockets do not queue for these threads,
as one may be free only after hours: a WebSocket that finds none is refused.

When the service has drained, no more are let in; see ``Departures``.
"""

from ashapp.bridge.admission.departures import Departures
from ashapp.bridge.admission.in_flight import busy
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool

__all__ = ["DEFAULT_WEBSOCKET_THREADS", "Websockets"]

#: How many WebSockets may hold a thread, if the application may run on several threads.
DEFAULT_WEBSOCKET_THREADS = 1000

# Seconds after which a thread that has nothing to do ends.
_IDLE_TIME = 10.0


class Websockets:
    """Counts WebSockets and refuses those past *limit* (None: any number), or past *threads* on threads.

    On the loop.

    Raises:
        ValueError: *threads* or *limit* is less than one.
    """

    def __init__(self, threads: int, limit: int | None, departures: Departures) -> None:
        if limit is not None and limit < 1:
            raise ValueError(f"limit_websockets is {limit!r}: expected 1 or more, or None for no bound")
        self.limit = limit
        #: The threads of handlers.
        self.pool = ThreadPool(
            threads, option="websocket_threads", name="ashapp-websocket", idle_time=_IDLE_TIME
        )
        #: WebSockets, handshakes included, that the application has not done with.
        self.open = 0
        #: Those of them that hold a thread.
        self.on_threads = 0
        #: The connections that are told to leave when the service ends.
        self.departures = departures

    def check(self) -> None:
        """Let the WebSocket that has just been counted go on.

        Raises:
            RequestRejected: there are too many, or the service has drained; the status is 503.
        """
        if self.departures.is_over:
            raise busy("it ends, and another one takes its place")
        if self.limit is not None and self.open > self.limit:
            raise busy(f"{self.limit} WebSockets are open, the most there may be")

    def take_thread(self) -> None:
        """Count one more WebSocket that holds a thread.

        Raises:
            RequestRejected: there is no thread for it; the status is 503.
        """
        if self.on_threads >= self.pool.size:
            raise busy(f"{self.pool.size} WebSockets hold a thread, the most that may")
        self.on_threads += 1

    def leave(self) -> None:
        """Count one WebSocket less: the application has done with it."""
        self.open -= 1

    def leave_thread(self) -> None:
        """Count one WebSocket less, and one thread less."""
        self.on_threads -= 1
        self.leave()
