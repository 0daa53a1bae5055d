# SPDX-License-Identifier: MIT
"""Limits: the size of requests, their number, and the time that each step may take."""

import math
from typing import Any

from ashapp.server.protocols import ConnectionLimits
from ashapp.server.settings.types import COUNT, NATURAL, POSITIVE_SECONDS, SECONDS, SIZE, WHOLE_SECONDS
from ashapp.server.validation.kinds import number, size
from ashapp.server.validation.record import Record, field

__all__ = ["Limits"]

# Queue slots per thread: the last in the queue waits about 25 service times.
_QUEUED_PER_THREAD = 25


class Limits(Record, title="Limits and time-outs"):
    """The limits. Those of requests are for each worker. A time of 0 stands for any time."""

    limit_in_flight: int = field(COUNT, 20_000)
    """Requests that a worker serves at once; then the answer is 503."""
    limit_queue: int | None = field(COUNT, None)
    """Requests that wait for a thread of a worker; then the answer is 503. [default: 25 for each thread]"""
    limit_websockets: int = field(COUNT, 20_000)
    """WebSockets that a worker has at once, none of which is a request in flight; then the answer is 503."""
    limit_target: int = field(number(64), 16384)
    """Bytes of a request's target, the path with the query; then 414."""
    limit_fields: int = field(COUNT, 100)
    """Header fields of a request; then 431."""
    limit_head: int = field(number(256), 32768)
    """Bytes of a request's line and headers together; then 431."""
    # A body is streamed: it takes time, not memory. A service that spools forms to a disk should have less.
    limit_body: int = field(SIZE, 16 << 30)
    """Bytes of a request's body, such as 20MiB; then 413. 0 for any. [default: 16GiB]"""
    limit_buffered: int | None = field(size(1), None)
    """Bytes of bodies that a worker's requests may hold at once, such as 8MiB; further ones wait.
    [default: by the memory that is left to the container]"""
    read_ahead: int = field(SIZE, 1 << 20)
    """Bytes of a body that are read before its request takes a thread; 0 for none. [default: 1MiB]"""
    request_timeout: float | None = field(POSITIVE_SECONDS, None)
    """Seconds until a response must have begun; then the answer is 504."""
    limit_blocking: float = field(SECONDS, 1)
    """Seconds for which an async view may block the event loop. One that does so twice is moved to threads.
    0, or --loop-guard 0, for any time."""
    timeout_thread: float = field(SECONDS, 60)
    """Seconds after which a thread that is busy with the same request counts as stuck; /readyz is 503 while
    all of them are. 0 for any time."""
    timeout_head: float = field(SECONDS, 10)
    """Seconds in which a new connection, or a request that has begun, must send a whole head; then 408.
    The same for a TLS handshake. 0 for any time."""
    timeout_body: float = field(SECONDS, 30)
    """Seconds in which a client must send more of a body, until the response begins; then 408.
    0 for any time."""
    min_body_rate: int = field(NATURAL, 240)
    """Lowest rate of a request's body, in bytes per second over --timeout-body; then 408."""
    # The system of a client that reads 1 KB/s may say only every 100 KB that there is room again.
    timeout_send: float = field(SECONDS, 120)
    """Seconds in which a client must take something of a response that is ready; then the connection is cut.
    0 for any time."""
    timeout_stream: float = field(SECONDS, 0)
    """Seconds for which a response that has begun may be silent; then the connection is closed.
    0 for any time."""
    # A request is lost if it crosses the end of an idle connection. So the proxy should end it: nginx does
    # after 75 s, load balancers after 60 s.
    timeout_keep_alive: int = field(WHOLE_SECONDS, 90)
    """Seconds for which a connection may be idle between two requests; longer than a proxy or load balancer
    in front keeps it."""

    @property
    def connection_limits(self) -> ConnectionLimits:
        """The limits of a connection."""
        return ConnectionLimits(
            target=self.limit_target,
            fields=self.limit_fields,
            head=self.limit_head,
            head_seconds=self.timeout_head or math.inf,
            body_seconds=self.timeout_body or math.inf,
            body_rate=self.min_body_rate,
            send_seconds=self.timeout_send or math.inf,
            stream_seconds=self.timeout_stream or math.inf,
        )

    def bridge_limits(self, threads: int) -> dict[str, Any]:
        """Return the limits of requests, for a bridge that has *threads* threads, by its keywords."""
        return {
            "limit_in_flight": self.limit_in_flight,
            "limit_queue": self.limit_queue or _QUEUED_PER_THREAD * threads,
            "limit_websockets": self.limit_websockets,
            "limit_body": self.limit_body or None,
            "limit_buffered": self.limit_buffered,
            "request_timeout": self.request_timeout,
        }

    def _check(self) -> None:
        if self.limit_target > self.limit_head:
            raise ValueError(
                f"limit_target = {self.limit_target} is more than limit_head = {self.limit_head}, "
                "of which the target is a part"
            )
