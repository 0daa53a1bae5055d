# SPDX-License-Identifier: MIT
"""Futures of both kinds: running something into one, resolving one, and awaiting one."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ashapp.bridge.concurrency.greenlets import current_greenlet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from concurrent.futures import Future

__all__ = [
    "as_coroutine",
    "as_exception",
    "await_into",
    "make_wait",
    "resolve",
    "run_into",
    "turn",
    "without_exit",
]

T = TypeVar("T")


@coroutine
def turn() -> Generator[None, None, None]:
    """Let others come first that are ready: ``asyncio.sleep(0)``, in one call in place of three."""
    yield


def run_into(future: Future[T], function: Callable[..., T], /, *args: Any, **kwargs: Any) -> None:
    """Run *function*, unless *future* has been cancelled, and give *future* what it returns or raises."""
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)


async def await_into(future: Future[T], awaitable: Awaitable[T]) -> None:
    """Give *future* what *awaitable* returns or raises.

    ``SystemExit`` and the like too: raised here they would stop the loop, and not reach who waits.
    """
    try:
        future.set_result(await awaitable)
    except BaseException as error:
        future.set_exception(error)


def resolve(future: asyncio.Future[None]) -> None:
    """Complete *future*, unless it has been cancelled. On its loop."""
    if not future.done():
        future.set_result(None)


async def without_exit(awaitable: Awaitable[T]) -> T:
    """Await *awaitable*, with ``RuntimeError`` in the place of what would stop the loop of this task."""
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"the application raised {error!r}") from error


async def as_coroutine(awaitable: Awaitable[T]) -> T:
    """Await *awaitable*. So a future, too, can be run where a coroutine is expected."""
    return await awaitable


def make_wait(loop: asyncio.AbstractEventLoop) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a function that wakes the caller, from any thread, and one by which the caller waits for that.

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


def as_exception(error: BaseException) -> Exception:
    """Return *error* as something that a task can raise without stopping the loop, or being misread."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    substitute = RuntimeError(f"the application raised {error!r}")
    substitute.__cause__ = error
    return substitute
