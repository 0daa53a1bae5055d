# SPDX-License-Identifier: MIT
"""Replaces workers while the others serve.

Theory of operation. Workers are replaced in steps of half their number, rounded up. In each step so many new
workers are started. When all of them are ready, as many old ones retire. When these have ended, the next step
begins. So memory for half as many workers more is enough; with two workers, for one more.

When an old worker ends a WebSocket or a stream, the client comes back at once. It should not meet another old
worker, which would end it again. So as soon as half of the workers are new, or need no replacement, the old
ones give way: see ``acceptor``. New connections then go to that half, and to old workers only while that half
is busy. All workers accept connections again if that half gets smaller, as when one dies, or if no worker can
be started any more.
"""

from collections import deque
from collections.abc import Callable, Collection

from ashapp.server.supervisors.worker import State, Worker
from ashapp.server.supervisors.worker_process import Order

__all__ = ["Replacements"]


class Replacements:
    """The workers among *workers* that are replaced, and those that replace them.

    *launch* adds a worker that replaces another, and returns whether it could; *retire* tells one to end.
    """

    def __init__(
        self,
        workers: Collection[Worker],
        launch: Callable[[Worker], bool],
        retire: Callable[[Worker], None],
    ) -> None:
        self._workers = workers
        self._launch = launch
        self._retire = retire
        self._waiting: deque[Worker] = deque()

    @property
    def are_over(self) -> bool:
        """Whether no worker is being replaced or waits for that."""
        return not self._old()

    def want(self, worker: Worker) -> bool:
        """Have *worker* replaced in its turn; return False if it was in the list already."""
        is_new = worker not in self._old()
        if is_new:
            self._waiting.append(worker)
        return is_new

    def forget(self, worker: Worker) -> None:
        """Go on without *worker*, which has ended. What it has not replaced yet is next."""
        if worker.predecessor is not None:
            self._waiting.appendleft(worker.predecessor)

    def give_up(self) -> None:
        """Drop the list, as new workers can't start: the old ones stay."""
        self._waiting.clear()

    def go_on(self, target: int) -> None:
        """Do the next steps that are possible now. *target* is how many workers there should be."""
        self._retire_replaced()
        if not any(worker.replaces or worker.state is State.DRAINING for worker in self._workers):
            self._begin_step(_half(target))

    def tell_who_gives_way(self, target: int) -> None:
        """Let old workers leave new connections to the others, while these are half of *target* or more."""
        old = self._old()
        serving = [worker for worker in self._workers if worker.state is State.READY]
        are_enough = sum(worker not in old for worker in serving) >= _half(target)
        for worker in serving:
            gives_way = are_enough and worker in old
            if worker.gives_way != gives_way:
                worker.gives_way = gives_way
                worker.order(Order.GIVE_WAY if gives_way else Order.ACCEPT)

    def _retire_replaced(self) -> None:
        """Let old workers retire, if all that are to replace some by now are ready."""
        new = [worker for worker in self._workers if worker.replaces]
        if any(worker.state is State.STARTING for worker in new):
            return
        for worker in new:
            if worker.state is State.READY:
                if worker.predecessor is not None:
                    self._retire(worker.predecessor)
                worker.replaces = None

    def _begin_step(self, size: int) -> None:
        begun = 0
        while self._waiting and begun < size:
            old = self._waiting[0]
            if old.is_active:
                if old.state is State.STARTING or not self._launch(old):
                    return
                begun += 1
            self._waiting.popleft()

    def _old(self) -> set[Worker]:
        """Return the workers that are replaced, or will be."""
        return {*self._waiting, *(worker.replaces for worker in self._workers if worker.replaces)}


def _half(number: int) -> int:
    return (number + 1) // 2
