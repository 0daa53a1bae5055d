# SPDX-License-Identifier: MIT
"""What an operator wants of a supervisor, and what its workers answer."""

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Control"]


class Control:
    """Wishes, which the supervisor looks at in each round: the number of *workers*, and their stacks.

    From any thread.
    """

    def __init__(self, workers: int) -> None:
        #: How many workers there should be.
        self.target = workers
        #: Grows each time that the stacks of all workers are asked for.
        self.version = 0
        #: The processes that are there now.
        self.pids: Collection[int] = ()
        self._stacks: dict[int, str] = {}
        self._told = threading.Condition()

    def stacks(self, seconds: float) -> dict[int, str]:
        """Ask all workers for their stacks; return the stacks that arrive within *seconds*."""
        with self._told:
            self.version += 1
            self._stacks = {}
            self._told.wait_for(lambda: self._stacks.keys() >= set(self.pids), seconds)
            return dict(self._stacks)

    def take_stacks(self, pid: int, text: str) -> None:
        """Note what a worker has answered."""
        with self._told:
            self._stacks[pid] = text
            self._told.notify_all()
