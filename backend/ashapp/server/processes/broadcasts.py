# SPDX-License-Identifier: MIT
"""Pass on to the workers what is wanted of them: faults, the stacks of their threads."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ashapp.server.management.control import Control
from ashapp.server.processes.worker import Worker
from ashapp.server.processes.worker_process import Order

if TYPE_CHECKING:
    from ashapp.server.faults.board import FaultBoard

__all__ = ["tell_faults", "tell_stacks_wanted"]


def tell_faults(workers: Iterable[Worker], board: "FaultBoard | None") -> None:
    """Tell the *workers* that serve of the faults that they are to have, where these have changed."""
    if board is None:
        return
    version = board.version
    for worker in workers:
        if worker.has_served and worker.faults_version != version:
            worker.faults_version = version
            worker.order(Order.FAULTS, board.orders(worker.pid))


def tell_stacks_wanted(workers: Iterable[Worker], control: Control) -> None:
    """Ask each of the *workers* that serves for its stacks, where somebody wants them."""
    serving = [worker for worker in workers if worker.has_served]
    control.pids = [worker.pid for worker in serving]
    for worker in serving:
        if worker.stacks_version != control.version:
            worker.stacks_version = control.version
            worker.order(Order.TELL_STACKS)
