# SPDX-License-Identifier: MIT
"""How many requests an application has and may have, and the answer to a request that is one too many.

An early refusal is better than a long wait: the client can try elsewhere or later, and requests that wait
already are served in time. Requests are bounded, not connections: an idle connection costs next to nothing. A
request that needs no thread is never refused because threads are busy.
"""

import math

from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
from ashapp.bridge.messages.errors import RequestRejected

__all__ = ["ADMISSION", "Admission", "busy"]

#: The key of the environ that has the `Admission` of the application.
ADMISSION = "ashapp.admission"

# Seconds (RFC 9110, 10.2.3). The queue moves as soon as one thread is free: if clients came back later,
# threads might be idle.
_RETRY_AFTER = (b"retry-after", b"1")


class Admission:
    """Counts requests and refuses those past *limit_in_flight*, or past *limit_queue* waiting for a thread.

    None stands for no bound. On the loop.

    Raises:
        ValueError: a bound is less than one.
    """

    def __init__(self, pool: ThreadPool, limit_in_flight: int | None, limit_queue: int | None) -> None:
        for name, bound in (("limit_in_flight", limit_in_flight), ("limit_queue", limit_queue)):
            if bound is not None and bound < 1:
                raise ValueError(f"{name} is {bound!r}: expected 1 or more, or None for no bound")
        self.limit_in_flight = limit_in_flight
        self.limit_queue = limit_queue
        #: Seconds after which a thread that is busy with the same request counts as stuck.
        self.timeout_thread = math.inf
        #: Requests that have begun and not ended. Some of them wait for a thread.
        self.in_flight = 0
        self._pool = pool

    def leave(self) -> None:
        """Count one request less: the application has done with it."""
        self.in_flight -= 1

    def check(self) -> None:
        """Let the request that has just been counted go on.

        Raises:
            RequestRejected: there are too many; the status is 503.
        """
        if self.limit_in_flight is not None and self.in_flight > self.limit_in_flight:
            raise busy(f"{self.limit_in_flight} requests are being served, the most at once")

    def check_queue(self) -> None:
        """Allow one more request to wait for a thread.

        Raises:
            RequestRejected: too many wait already; the status is 503.
        """
        if self.limit_queue is not None and self._pool.queued >= self.limit_queue:
            raise busy(f"{self.limit_queue} requests wait for a thread, the most that may wait")

    def saturation(self) -> str | None:
        """Return why a readiness probe should keep further requests away, or None.

        Reasons: the next request would be refused, or would wait for long, as all threads are stuck.
        """
        if self.limit_in_flight is not None and self.in_flight >= self.limit_in_flight:
            return f"saturated: {self.in_flight} requests in flight"
        if self.limit_queue is not None and self._pool.queued >= self.limit_queue:
            return f"saturated: {self._pool.queued} requests wait for a thread"
        if self._pool.stuck(self.timeout_thread) >= self._pool.size:
            seconds = f"{self.timeout_thread:g} s"
            return f"saturated: all threads have been busy with the same requests for {seconds}"
        return None


def busy(reason: str) -> RequestRejected:
    """Return the answer to a request that can't be served now."""
    return RequestRejected(503, f"The service is busy: {reason}. Try again later.", [_RETRY_AFTER])
