# SPDX-License-Identifier: MIT
"""Event loops of single requests, for coroutines that must not run on the server's loop.

Theory of operation. A view that is kept on threads may be async, and still block. As under a WSGI server, its
coroutine runs on a loop of this request alone, on a new thread. Meanwhile the thread of the request waits,
and runs the functions of ``sync_to_async``. All coroutines of the request, also hooks and items of a stream,
share that loop. It ends with the request. Tasks that are left get some seconds more, as at the end of the
server, and are then cancelled.
"""

import asyncio
import threading

from ashapp.bridge.concurrency.task_factory import end_tasks
from ashapp.bridge.concurrency.threads.thread_locals import mark_thread

__all__ = ["OwnLoop", "drain_own_loops", "is_own_loop"]

# Seconds between checks for loops that have not ended.
_INTERVAL = 0.01

_loops: set[asyncio.AbstractEventLoop] = set()


class OwnLoop:
    """A loop that runs on a thread of its own until it is left; tasks have *grace* seconds from then on.

    Raises:
        RuntimeError: the system gives no more threads.
    """

    def __init__(self, grace: float) -> None:
        self.loop = asyncio.new_event_loop()
        self._grace = grace
        _loops.add(self.loop)
        try:
            threading.Thread(target=self._run, name="ashapp-own-loop", daemon=True).start()
        except RuntimeError:
            self._close()
            raise

    def leave(self) -> None:
        """Let it end soon, without a wait. From any thread, once."""
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        mark_thread()
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            self._close()

    async def _end(self) -> None:
        this = asyncio.current_task()
        late = f"%r was not done {self._grace:g} s after the end of its request: cancelled"
        await end_tasks(lambda: asyncio.all_tasks() - {this}, self._grace, late)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()

    def _close(self) -> None:
        _loops.discard(self.loop)
        self.loop.close()


def is_own_loop(loop: asyncio.AbstractEventLoop | None) -> bool:
    """Say whether *loop* is that of a request, which has not ended."""
    return loop in _loops


async def drain_own_loops(grace: float) -> None:
    """Wait until the loops of all requests have ended, *grace* seconds at most."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    while _loops and loop.time() < deadline:  # noqa: ASYNC110 - they end on threads
        await asyncio.sleep(_INTERVAL)
