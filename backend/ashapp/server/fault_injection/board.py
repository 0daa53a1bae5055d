# SPDX-License-Identifier: MIT
"""The faults that are active, in the process that serves the management port.

Theory of operation. A fault is for the workers that serve when it is asked for, by their process ids. So a
worker that replaces another has no fault, unless the fault is for new workers too. A fault is over when all
its workers have ended. The version grows with each change, so that the supervisor knows when to pass the
faults on to the workers. When the time of a fault is up, that is no change: each worker knows it by the
clock, which all processes of a machine share.
"""

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ashapp.server.fault_injection.fault import Fault

__all__ = ["FaultBoard", "RequestedFault"]

# Each fault costs a thread in each of its workers.
_MOST = 32


@dataclass(frozen=True)
class RequestedFault:
    """A fault that was asked for; it is over at *until*, a time of ``time.monotonic``.

    *workers* has the process ids of the workers that have it; None stands for all, also for later ones.
    """

    id: str
    fault: "Fault"
    since: datetime
    until: float
    workers: frozenset[int] | None

    def concerns(self, pid: int) -> bool:
        """Return whether the worker *pid* has it."""
        return self.workers is None or pid in self.workers

    def told(self) -> dict[str, Any]:
        """Return its description, for JSON."""
        return {
            "id": self.id,
            **self.fault.values(),
            "workers": "all" if self.workers is None else sorted(self.workers),
            "since": self.since.isoformat(timespec="milliseconds"),
            "seconds_left": max(0.0, self.until - time.monotonic()),
        }


class FaultBoard:
    """The faults that are asked for. From any thread. After each change *changed* is called."""

    def __init__(self) -> None:
        self.changed: Callable[[], object] = lambda: None
        #: Grows with each change.
        self.version = 0
        self._wanted: dict[str, RequestedFault] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._telling = threading.Lock()

    def add(self, fault: "Fault", pids: Iterable[int]) -> RequestedFault:
        """Ask for *fault*; it chooses among *pids*, the workers that serve now.

        Raises:
            LookupError: it chooses none of them.
            OverflowError: there are too many faults.
        """
        workers = None if fault.new_workers else _chosen(fault, sorted(pids))
        until = time.monotonic() + fault.duration
        with self._lock:
            self._forget_expired()
            if len(self._wanted) >= _MOST:
                raise OverflowError(f"there are {_MOST} faults, the most there may be: clear some first")
            wanted = RequestedFault(str(next(self._numbers)), fault, datetime.now(UTC), until, workers)
            self._wanted[wanted.id] = wanted
            self.version += 1
        self._tell()
        return wanted

    def clear(self, *ids: str) -> list[RequestedFault]:
        """End the faults with these *ids*, or all; return those that were active."""
        with self._lock:
            self._forget_expired()
            cleared = [self._wanted.pop(id_) for id_ in ids or [*self._wanted] if id_ in self._wanted]
            self.version += 1
        self._tell()
        return cleared

    def forget(self, pid: int) -> None:
        """Forget the worker *pid*, which has ended: a fault without workers is over."""
        with self._lock:
            left = {
                id_: replace(each, workers=each.workers and each.workers - {pid})
                for id_, each in self._wanted.items()
            }
            self._wanted = {id_: each for id_, each in left.items() if each.workers != frozenset()}

    def wanted(self) -> list[RequestedFault]:
        """Return the faults that are not over."""
        with self._lock:
            self._forget_expired()
            return [*self._wanted.values()]

    def orders(self, pid: int) -> str:
        """Return the faults that the worker *pid* is to have, as `Injector.take` reads them."""
        return json.dumps(
            [
                {"id": each.id, "until": each.until, "fault": each.fault.values()}
                for each in self.wanted()
                if each.concerns(pid)
            ]
        )

    def _tell(self) -> None:
        with self._telling:  # so the latest orders are passed on last
            self.changed()

    def _forget_expired(self) -> None:
        now = time.monotonic()
        self._wanted = {id_: each for id_, each in self._wanted.items() if each.until > now}


def _chosen(fault: "Fault", pids: list[int]) -> frozenset[int]:
    """Return the workers that *fault* is for. "one" is the same each time: it can have several faults."""
    if not pids:
        raise LookupError("no worker serves just now; try again")
    if fault.worker == "all":
        return frozenset(pids)
    if fault.worker == "one":
        return frozenset(pids[:1])
    if fault.worker not in pids:
        raise LookupError(
            f"worker = {fault.worker}: must be 'all', 'one' or one of those that serve now: "
            f"{', '.join(map(str, pids))}"
        )
    return frozenset([fault.worker])
