# SPDX-License-Identifier: MIT
"""Settings of how workers are started, watched, replaced and stopped.

Some defaults are different if a person waits for the service: a developer, or someone at a terminal.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ashapp.server.settings.types import COUNT, NATURAL, POSITIVE_SECONDS, SECONDS, WHOLE_SECONDS
from ashapp.server.validation.kinds import FLAG, choice, number
from ashapp.server.validation.record import Record, field

__all__ = ["LONE_STALL_TIMEOUT", "STALL_TIMEOUT", "Stopping", "Workers", "is_developed"]

#: Seconds: an event loop that is not blocked never takes so long for one step.
STALL_TIMEOUT = 4.0
#: The same without a supervisor: nothing takes the place of the process, and its requests are lost.
LONE_STALL_TIMEOUT = 30.0

# Seconds in which a load balancer notices that a server is not ready, and sends no more connections.
_DRAIN_DELAY = 5.0
# Seconds for requests in flight: with the others they fit into the 30 that Kubernetes grants by default.
_GRACEFUL = 15
# Seconds beyond the time-outs, after which a process that should have ended is killed.
_END_SLACK = 1.0

_STATM = Path("/proc/self/statm")

_Values = Mapping[str, Any]


def is_developed(values: _Values) -> bool:
    """Say whether a developer is served; *values* are the settings that have been read."""
    return bool(values.get("reload")) or values.get("environment") == "development"


def _is_attended(values: _Values) -> bool:
    return is_developed(values) or sys.stderr.isatty()


def _needs_supervisor(values: _Values) -> bool:
    limits = (values.get("limit_max_requests"), values.get("limit_max_memory"))
    return values.get("workers", 1) > 1 or any(limits)


def _stall_timeout(values: _Values) -> float:
    if _is_attended(values):
        return 0
    return STALL_TIMEOUT if values.get("supervisor") else LONE_STALL_TIMEOUT


def _measurable(value: Any) -> Any:
    if not _STATM.exists():
        raise ValueError(f"needs {_STATM}, which this system does not have")
    return COUNT.check(value)


class Workers(Record, title="Workers"):
    """The number of workers and threads, and when workers are replaced."""

    workers: int = field(number(1, 1024), 1)
    """Worker processes."""
    threads: int = field(number(1, 4096), 40)
    """Threads of each worker that run sync views."""
    async_views: Literal["loop", "thread"] | None = field(choice("loop", "thread"), None)
    """Place of async views: the event loop; or a thread for each, with a loop of its own, for views that
    block. [default: ASHAPP_ASYNC_VIEWS in the application's config, else loop]"""
    static_files: Literal["loop", "thread"] | None = field(choice("loop", "thread"), None)
    """Place of static files: the event loop, with a thread only to read a file, and with the .zst or .gz file
    beside it for clients that accept that; or a thread, as for a sync view. [default: ASHAPP_STATIC_FILES in
    the application's config, else loop]"""
    async_threads: int = field(number(1, 32768), 1000)
    """Threads of each worker for the sync hooks of async views. A request with such hooks holds one from the
    first hook to its end. Never more than 1 with --threads 1."""
    websocket_threads: int | None = field(number(1, 32768), None)
    """Threads of each worker for the handlers of WebSockets. Each WebSocket holds one until it is closed;
    without a free one the answer is 503. An async def handler of ashapp.websocket needs none. [default: 1000,
    or 1 with --threads 1]"""
    thread_locals: Literal["request", "thread"] = field(choice("request", "thread"), "request")
    """Values of a threading.local in a request with an async view: of this request alone, or of the thread,
    which all such requests share."""
    limit_max_requests: int | None = field(COUNT, None)
    """Replace a worker that has answered this many requests."""
    limit_max_requests_jitter: int = field(NATURAL, 0)
    """Up to this many requests more, at random, for each worker."""
    limit_max_memory: int | None = field(COUNT._replace(check=_measurable), None)
    """Replace a worker that has more MiB resident in memory (Linux)."""
    supervisor: bool = field(FLAG, derive=_needs_supervisor)
    """Run the workers below a supervisor, which replaces them: at SIGHUP, past a limit, when they die or
    stall. [default: only where there are several, or a limit on requests or memory]"""
    timeout_worker_startup: float = field(POSITIVE_SECONDS, 60)
    """Seconds that a worker has to start; then it is killed, and counts as one that can't."""
    stall_timeout: float = field(SECONDS, derive=_stall_timeout)
    """Replace a worker whose event loop has been blocked for this many seconds, and log the stacks of its
    threads; without a supervisor, end with exit code 4. 0 for never. [default: 4, without a supervisor 30;
    0 in development, with --reload and on a terminal]"""

    def _check(self) -> None:
        if not self.supervisor and _needs_supervisor(vars(self)):
            raise ValueError(
                "supervisor is off, but workers > 1, limit_max_requests and limit_max_memory need it: "
                "leave it on"
            )


class Stopping(Record, title="Stopping"):
    """How much time there is for the end of a process."""

    drain_delay: float = field(SECONDS, derive=lambda values: 0 if _is_attended(values) else _DRAIN_DELAY)
    """Seconds from SIGTERM, and from not being ready, until no more connections are accepted.
    [default: 5; 0 in development, with --reload and on a terminal]"""
    timeout_graceful_shutdown: int = field(
        WHOLE_SECONDS, derive=lambda values: 1 if _is_attended(values) else _GRACEFUL
    )
    """Seconds that requests have to be finished, after the drain; then they are cancelled.
    [default: 15; 1 in development, with --reload and on a terminal]"""
    timeout_lifespan_shutdown: float = field(POSITIVE_SECONDS, 5.0)
    """Seconds that cancelled requests and the shutdown of the application have, after that."""
    termination_grace_period: float | None = field(POSITIVE_SECONDS, None)
    """Seconds from SIGTERM until the environment kills the service, as far as that is known. A start is
    refused where the drain and the time-outs above need more."""

    @property
    def task_grace(self) -> float:
        """Seconds of the shutdown for requests and tasks that are left: the rest is the application's own."""
        return 0.8 * self.timeout_lifespan_shutdown

    @property
    def end_seconds(self) -> float:
        """Seconds from the end of the drain until a process has ended, or is killed."""
        return self.timeout_graceful_shutdown + self.timeout_lifespan_shutdown + _END_SLACK

    def _check(self) -> None:
        needed = self.drain_delay + self.timeout_graceful_shutdown + self.timeout_lifespan_shutdown
        if self.termination_grace_period is not None and needed > self.termination_grace_period:
            raise ValueError(
                f"termination_grace_period = {self.termination_grace_period:g} s is too short: drain_delay "
                f"{self.drain_delay:g} + timeout_graceful_shutdown {self.timeout_graceful_shutdown} + "
                f"timeout_lifespan_shutdown {self.timeout_lifespan_shutdown:g} = {needed:g} s; "
                "shorten these, or raise it, and the environment's own limit with it"
            )
