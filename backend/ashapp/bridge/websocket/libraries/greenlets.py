# SPDX-License-Identifier: MIT
"""Threads, events, queues and sleeps for libraries: in a greenlet they wait without holding a thread.

Theory of operation. simple-websocket and python-engineio can be given classes for threads, events, queues and
selectors. These are such classes. In a greenlet on the event loop they wait without a thread. Elsewhere they
do what the standard library does. One side of an event or of a queue may be in a greenlet and the other on a
thread.

A greenlet that waits for anything else blocks the loop. So only code that is known not to do that runs in
one.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ashapp.bridge.concurrency.futures import as_coroutine, resolve
from ashapp.bridge.concurrency.greenlets.current import current_call, current_greenlet
from ashapp.bridge.concurrency.greenlets.greenlet_task import GreenletTask

__all__ = ["GreenletEvent", "GreenletQueue", "GreenletThread", "Waiters", "greenlet_sleep"]

_log = logging.getLogger("ashapp.bridge")

# The loop has weak references to its tasks only.
_running: set[asyncio.Task[None]] = set()


class GreenletThread(threading.Thread):
    """A thread, or a greenlet where `may_be_greenlet` allows it and code of a request starts it."""

    def __init__(self, *, target: Callable[..., object], args: Any = (), kwargs: Any = None) -> None:
        super().__init__(target=target, args=args, kwargs=kwargs, daemon=True)
        self.target: Callable[..., object] = target
        self._ended: GreenletEvent | None = None

    def may_be_greenlet(self) -> bool:
        """Say whether its function waits for nothing but the classes of this module."""
        return True

    def start(self) -> None:
        """Start it."""
        loop = _loop() if self.may_be_greenlet() else None
        if loop is None:
            super().start()
        else:
            self._ended = GreenletEvent()
            # As a daemon thread does, it ends with the process: it is not one of the request's tasks that
            # shutdown waits for.
            loop.call_soon_threadsafe(self._start_greenlet, context=Context())

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""
        if self._ended is None:
            super().join(timeout)
        else:
            self._ended.wait(timeout)

    def is_alive(self) -> bool:
        """Say whether it has been started and has not ended."""
        return super().is_alive() if self._ended is None else not self._ended.is_set()

    def _start_greenlet(self) -> None:
        task = asyncio.get_running_loop().create_task(self._run_greenlet(), name=self.name)
        _running.add(task)
        task.add_done_callback(_running.discard)

    async def _run_greenlet(self) -> None:
        try:
            await GreenletTask(None, self._run()).drive(Context())
        except Exception:
            _log.exception("%s failed", self.name)
        finally:
            if self._ended is not None:
                self._ended.set()

    async def _run(self) -> None:
        self.run()


class Waiters:
    """Greenlets that wait for something to change."""

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def wait_until(self, condition: Callable[[], object], timeout: float | None) -> bool:
        """Wait in a greenlet until *condition* holds, for *timeout* seconds at most; say whether it does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            future = asyncio.get_running_loop().create_future()
            self._futures.append(future)
            try:
                if condition():
                    return True
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                _await(future, left)
            finally:
                if future in self._futures:
                    self._futures.remove(future)

    def wake(self) -> None:
        """Let them check their conditions again. From any thread."""
        futures, self._futures = self._futures, []
        for future in futures:
            loop = future.get_loop()
            if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the one that does not raise
                resolve(future)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(resolve, future)


class GreenletEvent(threading.Event):
    """An event for which greenlets may wait, too."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters = Waiters()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, and say whether it is."""
        if current_greenlet() is None:
            return super().wait(timeout)
        return self._waiters.wait_until(self.is_set, timeout)

    def set(self) -> None:
        """Set it."""
        super().set()
        self._waiters.wake()


class GreenletQueue(queue.Queue[Any]):
    """An unbounded queue for which greenlets may wait, too."""

    def __init__(self) -> None:
        super().__init__()
        self._waiters = Waiters()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: FBT001, FBT002
        """Add *item*."""
        super().put(item, block, timeout)
        self._waiters.wake()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        """Take the next item, and wait for it with *block*.

        Raises:
            queue.Empty: there is none, for *timeout* seconds with *block*.
        """
        if block and current_greenlet() is not None:
            self._waiters.wait_until(self.qsize, timeout)
            block = False
        return super().get(block, timeout)

    def task_done(self) -> None:
        """Count an item as done."""
        super().task_done()
        self._waiters.wake()

    def join(self) -> None:
        """Wait until all items are done."""
        if current_greenlet() is None:
            super().join()
        else:
            self._waiters.wait_until(lambda: not self.unfinished_tasks, None)


def greenlet_sleep(seconds: float = 0) -> None:
    """Sleep, in a greenlet or on a thread."""
    if current_greenlet() is None:
        time.sleep(seconds)
    else:
        _await(asyncio.get_running_loop().create_future(), seconds)


def _await(future: asyncio.Future[None], timeout: float | None) -> None:
    """Let the current greenlet wait for *future*, which is resolved after *timeout* seconds at the latest."""
    greenlet = current_greenlet()
    timer = None if timeout is None else future.get_loop().call_later(timeout, resolve, future)
    try:
        greenlet.wait_for(as_coroutine(future))  # type: ignore[union-attr]  # in a greenlet there is one
    finally:
        if timer is not None:
            timer.cancel()


def _loop() -> asyncio.AbstractEventLoop | None:
    """Return the loop of the request to which the current code belongs, or None."""
    if current_greenlet() is not None:
        return asyncio.get_running_loop()
    call = current_call()
    return None if call is None else call.loop
