# SPDX-License-Identifier: MIT
"""Futures of both kinds: running something into one, resolving one, and awaiting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future

__all__ = ["as_coroutine", "await_into", "resolve", "run_into"]

T = TypeVar("T")


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


async def as_coroutine(awaitable: Awaitable[T]) -> T:
    """Await *awaitable*: a coroutine out of a future, and a coroutine function out of a coroutine."""
    return await awaitable
