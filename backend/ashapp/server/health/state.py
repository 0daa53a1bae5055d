# SPDX-License-Identifier: MIT
"""The health of a worker, as it knows it itself."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ashapp.server.health.stalls import Beats, LocalBeats

__all__ = ["MOVED_AT", "Condition", "Health", "Monitor", "Phase"]

#: A view is moved to threads when it has blocked the loop this often.
MOVED_AT = 2

#: Returns a reason why the worker should get no requests just now, or ``None``; it must not block.
Condition = Callable[[], str | None]


class Phase(StrEnum):
    """The phases of a worker's life."""

    STARTING = "starting"
    RUNNING = "running"
    #: Requests are still accepted, so that none is lost on its way, but there should be no more of them.
    DRAINING = "draining"
    STOPPING = "stopping"


class Monitor(Protocol):
    """Something that watches the health of a worker while it serves. On the loop."""

    async def start(self) -> None:
        """Begin, when the application has been started."""

    async def stop(self) -> None:
        """End, before the application is shut down."""


@dataclass
class Health:
    """The state that the probes report, kept by the event loop's thread.

    A worker is alive while its loop can answer. It is ready from the end of its startup to the beginning of
    its end, if none of its *conditions* gives a reason not to be. The server starts and stops its *monitors*.

    *blocks* counts how often the view of an endpoint has blocked the loop, here or in another worker. Then
    each of *block_listeners* is called with the endpoint, on any thread. *keep_off* keeps the view of an
    endpoint off the loop from now on. *take_faults* takes the injected faults that are active from now on.
    *turns* is the descriptor by which workers take turns at jobs, None without others. *beats* counts the
    beats of the loop. When the end begins, each of *drains* is called on the loop with the seconds in which
    WebSockets are to be closed.
    """

    phase: Phase = Phase.STARTING
    conditions: list[Condition] = field(default_factory=list)
    monitors: list[Monitor] = field(default_factory=list)
    blocks: Counter[str] = field(default_factory=Counter)
    block_listeners: list[Callable[[str], object]] = field(default_factory=list)
    keep_off: Callable[[str], object] = lambda _: None
    take_faults: Callable[[str], object] = lambda _: None
    turns: int | None = None
    beats: Beats = field(default_factory=LocalBeats)
    drains: list[Callable[[float], object]] = field(default_factory=list)

    def liveness(self) -> str | None:
        """Return why this worker should be replaced, or ``None``: a worker that answers is alive."""
        return None

    def readiness(self) -> str | None:
        """Return why this worker should get no requests, or ``None`` if it should."""
        if self.phase is not Phase.RUNNING:
            return self.phase.value
        reasons = (condition() for condition in self.conditions)
        return next((reason for reason in reasons if reason is not None), None)
