# SPDX-License-Identifier: MIT
"""A thread that waits for a coroutine, and what the coroutine finds of that thread."""

from __future__ import annotations

import sys
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import AsyncToSync

from ashapp.bridge.concurrency.threads.executor import submit_by_default

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = ["WaitingThread", "while_handling"]

T = TypeVar("T")


class WaitingThread(CurrentThreadExecutor):
    """The current thread, which waits for a coroutine on a loop, and meanwhile runs what this sends back.

    Tasks that the coroutine leaves behind still have this executor in their context. By then the thread
    serves another request, so their sync code goes where asgiref sends it by default.
    """

    def __init__(self) -> None:
        super().__init__(None)
        #: What the thread waits for.
        self.result: Future[Any] = Future()
        self._handled = sys.exception()

    def wait(self) -> Any:
        """Wait for the result, and return or raise it. On the thread."""
        self.run_until_future(self.result)
        return self.result.result()

    async def lend_to(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await *coroutine*, and let ``sync_to_async`` use the thread. On the loop."""
        # Set here, not by the thread: asgiref's Local shows a value only to the thread that set it.
        outer = getattr(AsyncToSync.executors, "current", None)
        AsyncToSync.executors.current = self
        try:
            return await while_handling(self._handled, coroutine)
        finally:
            AsyncToSync.executors.current = outer

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run *fn* on the thread; see ``concurrent.futures.Executor``."""
        try:
            return super().submit(fn, *args, **kwargs)
        except RuntimeError:
            return submit_by_default(fn, *args, **kwargs)


async def while_handling(handled: BaseException | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await *coroutine* so that ``sys.exception()`` tells it what its caller handles, as an error handler."""
    if handled is None:
        return await coroutine
    traceback = handled.__traceback__
    try:
        raise handled  # noqa: TRY301 - to be what is handled while the coroutine runs
    except BaseException as error:
        error.__traceback__ = traceback
        return await coroutine
