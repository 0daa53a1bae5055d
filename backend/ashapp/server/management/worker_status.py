# SPDX-License-Identifier: MIT
"""What a worker tells of itself, to the management port of its own process or of its supervisor."""

import json
import time
from dataclasses import asdict, dataclass, field, fields
from typing import Self

from ashapp.server.health.readiness_runner import Outcome

__all__ = ["Status"]


@dataclass(frozen=True)
class Status:
    """A worker at a moment.

    *beat* is when its event loop was last seen to run, by ``time.monotonic``: a clock that all processes of a
    machine share. *reason* is why it should get no requests, None if it should.
    """

    pid: int
    beat: float
    reason: str | None
    #: Requests that have begun and not ended, and those of them that wait for a thread.
    active: int = 0
    queued: int = 0
    #: Threads for requests: how many there may be, and how many are busy.
    threads: int = 0
    busy: int = 0
    checks: list[Outcome] = field(default_factory=list)
    #: Values of metrics that nobody sees, as there is no room for them.
    unwritten: int = 0
    #: The views that have been moved to threads as they block the event loop, by endpoint, and why.
    moved: dict[str, str] = field(default_factory=dict)
    #: Threads that each belong to one request with an async view: how many there may be, and how many do.
    async_threads: int = 0
    busy_async_threads: int = 0

    @property
    def age(self) -> float:
        """Seconds since the event loop was seen to run."""
        return time.monotonic() - self.beat

    @property
    def moved_views(self) -> int:
        """How many views have been moved to threads."""
        return len(self.moved)

    def dump(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``dump`` made *text* of."""
        values = json.loads(text)
        values["checks"] = [Outcome(**check) for check in values["checks"]]
        # A worker that was started after an upgrade may tell more than its supervisor knows.
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})
