# SPDX-License-Identifier: MIT
"""Settings of how workers are started, watched, replaced and stopped."""

import shlex
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, field_validator, model_validator

__all__ = ["DRAIN_DELAY", "END_SLACK", "GRACEFUL", "LONE_STALL_TIMEOUT", "STALL_TIMEOUT", "Lifecycle"]

#: Seconds until no load balancer sends new connections to a server that is not ready: polled or told.
DRAIN_DELAY = 5.0
#: Seconds that no event loop needs for one step unless something blocks it.
STALL_TIMEOUT = 4.0
#: The same where no supervisor has another worker at hand: with the process all that it does is lost.
LONE_STALL_TIMEOUT = 30.0

#: Seconds for what is in flight: what Kubernetes grants by default, less what Python needs to begin and end.
GRACEFUL = 15
_LIFESPAN = 5.0

#: Seconds beyond the time-outs after which a process that should have ended is given up.
END_SLACK = 1.0

_STATM = Path("/proc/self/statm")
_ATTENDED = "0 in development, with --reload and on a terminal"


class Lifecycle(BaseModel):
    """When a worker ends, how much time it has for that, and who takes its place."""

    prestart: str | None = Field(
        default=None,
        description="Command that is run before the application is imported; if it fails, nothing is served, "
        'and its exit code is that of the service. "auto" is ./prestart.sh, if there is one. [default: off]',
    )
    supervisor: bool | None = Field(
        default=None,
        description="Run the workers below a supervisor, which replaces them: at SIGHUP, past a limit, when "
        "they die or stall. [default: only where there are several, or a limit on requests or memory]",
    )
    drain_delay: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Seconds from SIGTERM, and from not being ready, until no more connections are accepted. "
        f"[default: {DRAIN_DELAY:g}; {_ATTENDED}]",
    )
    timeout_graceful_shutdown: int | None = Field(
        default=None,
        ge=0,
        description="Seconds that requests have to be finished, after the drain; then they are cancelled. "
        f"[default: {GRACEFUL}; 1 in development, with --reload and on a terminal]",
    )
    timeout_lifespan_shutdown: float = Field(
        default=_LIFESPAN,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that cancelled requests and the shutdown of the application have, after that.",
    )
    termination_grace_period: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds from SIGTERM until the environment kills the service, as far as that is known. "
        "A start is refused where the drain and the time-outs above need more.",
    )
    timeout_worker_startup: float = Field(
        default=60,
        gt=0,
        allow_inf_nan=False,
        description="Seconds that a worker has to start; then it is killed, and counts as one that can't.",
    )
    stall_timeout: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Replace a worker whose event loop has been blocked for so many seconds, and log the "
        "stacks of its threads; without a supervisor, end with exit code 4. 0 for never. "
        f"[default: {STALL_TIMEOUT:g}, without a supervisor {LONE_STALL_TIMEOUT:g}; {_ATTENDED}]",
    )
    limit_max_requests: int | None = Field(
        default=None, ge=1, description="Replace a worker that has answered so many requests."
    )
    limit_max_requests_jitter: int = Field(
        default=0, ge=0, description="At random up to so many requests more, for each worker."
    )
    limit_max_memory: int | None = Field(
        default=None, ge=1, description="Replace a worker that has more MiB resident in memory (Linux)."
    )

    @property
    def task_grace(self) -> float:
        """Seconds of the shutdown for requests and tasks that are left: the rest is the application's own."""
        return 0.8 * self.timeout_lifespan_shutdown

    @field_validator("prestart")
    @classmethod
    def _command(cls, value: str | None) -> str | None:
        try:
            shlex.split(value or "")
        except ValueError as error:
            raise ValueError(f"must be a command as a shell reads it ({error})") from error
        return value

    @field_validator("limit_max_memory")
    @classmethod
    def _measurable(cls, value: int | None) -> int | None:
        if value is not None and not _STATM.exists():
            raise ValueError(f"needs {_STATM}, which this system does not have")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        drain = DRAIN_DELAY if self.drain_delay is None else self.drain_delay
        graceful = GRACEFUL if self.timeout_graceful_shutdown is None else self.timeout_graceful_shutdown
        needed = drain + graceful + self.timeout_lifespan_shutdown
        if self.termination_grace_period is not None and needed > self.termination_grace_period:
            raise ValueError(
                f"termination_grace_period = {self.termination_grace_period:g} s is too short: drain_delay "
                f"{drain:g} + timeout_graceful_shutdown {graceful} + "
                f"timeout_lifespan_shutdown {self.timeout_lifespan_shutdown:g} = {needed:g} s; "
                "shorten these, or raise it, and the environment's own limit with it"
            )
        return self
