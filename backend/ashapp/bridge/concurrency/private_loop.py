# SPDX-License-Identifier: MIT
"""Event loops of one request each, for coroutines that are not to run on the server's.

Theory of operation. A view that is kept on threads (see ``placement``) may be async, and may block all the
same. As asgiref does under a WSGI server, its coroutine runs on a loop that nobody else has, on a thread that
is made for it, while the thread of the request waits and lends itself to ``sync_to_async``. There is one such
loop for all coroutines of a request, hooks and the items of a stream too, so that what they share has one
loop. It ends with the request. Tasks that are left have some seconds more, as at the end of the server, and
then are cancelled: a loop can't be kept for each request that has ever been.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

from ashapp.bridge.concurrency.thread_locals import mark_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self

    from ashapp.bridge.concurrency.call import Cancellable

__all__ = ["OwnLoop", "RemoteTask", "drain_own_loops", "is_own_loop"]

_log = logging.getLogger("ashapp.bridge")

# Seconds between looks at loops that have not ended.
_INTERVAL = 0.01

_loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_running: set[OwnLoop] = set()


class OwnLoop:
    """A loop that runs on a thread of its own until it is left; tasks have *grace* seconds from then on.

    Raises:
        RuntimeError: the system gives no more threads.

    """

    def __init__(self, grace: float) -> None:
        self.loop = asyncio.new_event_loop()
        self._grace = grace
        _loops.add(self.loop)
        _running.add(self)
        try:
            threading.Thread(target=self._run, name="ashapp-own-loop", daemon=True).start()
        except RuntimeError:
            _running.discard(self)
            self.loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """Let it end by and by. From any thread, once."""
        self.loop.call_soon_threadsafe(self.loop.stop)

    def _run(self) -> None:
        mark_thread()
        try:
            self.loop.run_forever()
            self.loop.run_until_complete(self._end())
        finally:
            _running.discard(self)
            self.loop.close()

    async def _end(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            _, late = await asyncio.wait(left, timeout=self._grace)
            for task in late:
                _log.warning(
                    "%r was not done %g s after the end of its request: cancelled", task, self._grace
                )
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=self._grace)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


class RemoteTask:
    """A task on another loop as the *server*'s loop sees it."""

    def __init__(self, task: Cancellable, server: asyncio.AbstractEventLoop) -> None:
        self._task = task
        self._server = server

    def cancel(self) -> bool:
        """Have the task cancelled; say whether it may still come to that."""
        return not self._task.done() and self._call(self._task.cancel)

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        """Call *callback*, on the server's loop, when the task is done."""

        def cross(task: Any) -> None:
            with suppress(RuntimeError):  # the loop has been closed, and nobody is left to be told
                self._server.call_soon_threadsafe(callback, task)

        self._call(self._task.add_done_callback, cross)

    def _call(self, function: Callable[..., object], *args: object) -> bool:
        try:
            self._task.get_loop().call_soon_threadsafe(function, *args)
        except RuntimeError:  # its loop has ended
            return False
        return True


def is_own_loop(loop: asyncio.AbstractEventLoop | None) -> bool:
    """Say whether *loop* is that of a request."""
    return loop in _loops


async def drain_own_loops(grace: float) -> None:
    """Wait until the loops of all requests have ended, *grace* seconds at most."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    while _running and loop.time() < deadline:  # noqa: ASYNC110 - they end on threads
        await asyncio.sleep(_INTERVAL)
