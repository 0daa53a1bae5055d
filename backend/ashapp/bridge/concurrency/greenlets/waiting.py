# SPDX-License-Identifier: MIT
"""Lets code on a thread or in a greenlet wait for a call from any thread."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ashapp.bridge.concurrency.futures import as_coroutine, resolve
from ashapp.bridge.concurrency.greenlets.current import current_greenlet

__all__ = ["make_wait"]


def make_wait(loop: asyncio.AbstractEventLoop) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a function that wakes the caller, from any thread, and a function by which the caller waits.

    A thread sleeps; a greenlet of *loop* is suspended.

    Raises:
        RuntimeError: to wait here would block *loop*.
    """
    if asyncio._get_running_loop() is not loop:  # noqa: SLF001 - the one that does not raise
        lock = threading.Lock()
        lock.acquire()
        return lock.release, lock.acquire
    greenlet = current_greenlet()
    if greenlet is None:
        raise RuntimeError(
            "reading the request body in a callback of the event loop would block it: "
            "read it in the view or in a task, or with asyncio.to_thread"
        )
    woken = loop.create_future()

    def wake() -> None:
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - see above
            resolve(woken)
        else:
            with suppress(RuntimeError):  # the loop has been closed: nobody waits
                loop.call_soon_threadsafe(resolve, woken)

    return wake, partial(greenlet.driver.run_coroutine, as_coroutine(woken))
