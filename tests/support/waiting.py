# SPDX-License-Identifier: MIT
"""Waits that end: a test that waits for longer than PATIENCE seconds has failed."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TypeVar

__all__ = ["PATIENCE", "eventually", "is_listening", "on_a_thread", "until", "until_set"]

PATIENCE = 20.0

T = TypeVar("T")


def until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until *condition* holds, for what nobody tells of, for *patience* seconds. Not on a loop."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


def is_listening(address: tuple[str, int]) -> bool:
    """Return whether a connection to *address* is accepted."""
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, while the loop goes on."""
    await on_a_thread(until, condition)


async def on_a_thread(function: Callable[..., T], *args: object) -> T:
    """Call *function* on a thread of its own, which does not keep a test that has failed from ending."""
    future: Future[T] = Future()

    def call() -> None:
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    async with asyncio.timeout(PATIENCE):
        return await asyncio.wrap_future(future)


async def until_set(event: threading.Event) -> None:
    """Wait for the *event*, while the loop goes on."""
    assert await on_a_thread(event.wait, PATIENCE), "waited in vain"
