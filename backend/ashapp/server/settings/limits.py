# SPDX-License-Identifier: MIT
"""Settings of what clients may send, how many requests there may be, and how long anything may take."""

import math
from typing import Annotated, Any, Self

from pydantic import BaseModel, ByteSize, Field, model_validator

from ashapp.server.protocols import ConnectionLimits

__all__ = ["Limits"]

# The last in the queue waits about so many times as long as a request takes on its thread.
_QUEUED_PER_THREAD = 25

_Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Limits(BaseModel):
    """The limits. Those of requests are for each worker. A time of 0 stands for any time."""

    limit_in_flight: int = Field(
        default=20_000, ge=1, description="Requests that a worker serves at once; then the answer is 503."
    )
    limit_queue: int | None = Field(
        default=None,
        ge=1,
        description="Requests that wait for a thread of a worker; then the answer is 503. "
        f"[default: {_QUEUED_PER_THREAD} for each thread]",
    )
    limit_concurrency: int | None = Field(
        default=None,
        ge=1,
        description="uvicorn's name for --limit-in-flight. Requests are counted, not connections.",
    )
    limit_target: int = Field(
        default=16384, ge=64, description="Bytes of a request's target, the path with the query; then 414."
    )
    limit_fields: int = Field(default=100, ge=1, description="Header fields of a request; then 431.")
    limit_head: int = Field(
        default=32768, ge=256, description="Bytes of a request's line and headers together; then 431."
    )
    limit_body: ByteSize = Field(
        # A body is streamed: it takes time, not memory. What spools forms to a disk had better have less.
        default=ByteSize(16 << 30),
        ge=0,
        description="Bytes of a request's body, such as 20MiB; then 413. 0 for any. [default: 16GiB]",
    )
    limit_buffered: ByteSize | None = Field(
        default=None,
        ge=1,
        description="Bytes of bodies that a worker's requests may have in hand, such as 8MiB; more wait. "
        "[default: as many as the memory that is left to the container stands]",
    )
    read_ahead: ByteSize = Field(
        default=ByteSize(1 << 20),
        ge=0,
        description="Bytes of a body that are read before its request takes a thread; 0 for none. "
        "[default: 1MiB]",
    )
    request_timeout: float | None = Field(
        default=None, gt=0, description="Seconds until a response must have begun; then the answer is 504."
    )
    limit_blocking: _Seconds = Field(
        default=1,
        description="Seconds for which an async view may block the event loop; done twice, it is "
        "moved to threads. 0 for any time, and with --loop-guard 0.",
    )
    timeout_thread: _Seconds = Field(
        default=60,
        description="Seconds after which a thread that is busy with the same request counts as stuck; "
        "/readyz is 503 while all of them are. 0 for any time.",
    )
    timeout_head: _Seconds = Field(
        default=10,
        description="Seconds until a new connection, or a request that has begun, must have sent a whole "
        "head; then 408. A TLS handshake has as many. 0 for any time.",
    )
    timeout_body: _Seconds = Field(
        default=30,
        description="Seconds in which a client must send more of a body, until the response begins; then "
        "408. 0 for any time.",
    )
    min_body_rate: int = Field(
        default=240, ge=0, description="Bytes per second that must come of a body, over --timeout-body."
    )
    timeout_send: _Seconds = Field(
        # The system of a client that reads 1 KB/s may say only every 100 KB that there is room again.
        default=120,
        description="Seconds in which a client must take something of a response that is ready; then the "
        "connection is cut. 0 for any time.",
    )
    timeout_stream: _Seconds = Field(
        default=0,
        description="Seconds for which a response that has begun may be silent; then the connection is "
        "closed. 0 for any time.",
    )
    timeout_keep_alive: int = Field(
        # Whoever closes an idle connection first may lose a request: let it not be this side. nginx keeps one
        # for 75 s, and load balancers for 60 s.
        default=90,
        ge=0,
        description="Seconds for which a connection may be idle between two requests; longer than a proxy or "
        "load balancer in front keeps it.",
    )

    @property
    def connection_limits(self) -> ConnectionLimits:
        """What holds for a connection."""
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
        """Return the limits of requests, for a bridge that has so many *threads*, by its keywords."""
        return {
            "limit_in_flight": self.limit_concurrency or self.limit_in_flight,
            "limit_queue": self.limit_queue or _QUEUED_PER_THREAD * threads,
            "limit_body": self.limit_body or None,
            "limit_buffered": self.limit_buffered,
            "request_timeout": self.request_timeout,
        }

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        both = {"limit_concurrency", "limit_in_flight"} <= self.model_fields_set
        if both and self.limit_concurrency != self.limit_in_flight:
            raise ValueError("limit_concurrency is another name of limit_in_flight: give one of the two")
        if self.limit_target > self.limit_head:
            raise ValueError(
                f"limit_target = {self.limit_target} is more than limit_head = {self.limit_head}, "
                "of which the target is a part"
            )
        return self
