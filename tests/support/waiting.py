# SPDX-License-Identifier: MIT
"""Waits that end: a test that waits for longer than PATIENCE seconds has failed."""

import asyncio
import threading
import time
from collections.abc import Callable

__all__ = ["PATIENCE", "eventually", "until", "until_set"]

PATIENCE = 20.0


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, for what nobody tells of. Not on a loop."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.001)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, while the loop goes on."""
    await asyncio.to_thread(until, condition)


async def until_set(event: threading.Event) -> None:
    """Wait for the *event*, while the loop goes on."""
    assert await asyncio.to_thread(event.wait, PATIENCE), "waited in vain"
