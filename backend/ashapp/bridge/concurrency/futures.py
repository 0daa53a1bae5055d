# SPDX-License-Identifier: MIT
"""Futures of both kinds: running something into one, resolving one, and awaiting one."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future
from types import coroutine
from typing import Any, TypeVar

__all__ = [
    "as_coroutine",
    "as_exception",
    "await_into",
    "cancelling",
    "resolve",
    "run_into",
    "turn",
    "while_handling",
    "without_exit",
]

T = TypeVar("T")


@coroutine
def turn() -> Generator[None, None, None]:
    """Let other tasks that are ready run first: ``asyncio.sleep(0)``, in one call in place of three."""
    yield


def run_into(future: Future[T], function: Callable[..., T], /, *args: Any, **kwargs: Any) -> None:
    """Run *function*, unless *future* has been cancelled, and put its result or exception into *future*."""
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)


async def await_into(future: Future[T], awaitable: Awaitable[T]) -> None:
    """Put the result or the exception of *awaitable* into *future*.

    Also ``SystemExit`` and the like: raised here, they would stop the loop, and not reach the code that
    waits.
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
    """Await *awaitable*, with ``RuntimeError`` in place of an exception that would stop the loop."""
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise as_exception(error) from error


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


async def as_coroutine(awaitable: Awaitable[T]) -> T:
    """Await *awaitable*: a coroutine around a future, for code that expects one."""
    return await awaitable


def cancelling() -> int:
    """Return how many cancellations of the current task are pending (``cancelling``); 0 outside of a task."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def as_exception(error: BaseException) -> Exception:
    """Return *error* as an exception that a task can raise: it neither stops the loop nor is misread."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    substitute = RuntimeError(f"the application raised {error!r}")
    substitute.__cause__ = error
    return substitute
