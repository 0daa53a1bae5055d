# SPDX-License-Identifier: MIT
"""What a worker knows of its own health."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Health", "Phase"]


class Phase(StrEnum):
    """Where a worker is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"


@dataclass
class Health:
    """The state that the probes report, kept by the event loop's thread.

    A worker is alive as long as its loop can answer; it is ready between the end of its startup and the
    beginning of its shutdown.
    """

    phase: Phase = Phase.STARTING

    def liveness(self) -> str | None:
        """Return why this worker should be replaced, or ``None``: that it answers is enough."""
        return None

    def readiness(self) -> str | None:
        """Return why this worker should get no requests, or ``None`` if it should."""
        return None if self.phase is Phase.RUNNING else self.phase.value
