# SPDX-License-Identifier: MIT
"""Resolving an asyncio future that its owner may have cancelled in the meantime, and awaiting one."""

import asyncio

__all__ = ["resolve", "until"]


def resolve(future: asyncio.Future[None]) -> None:
    """Complete *future*, unless it has been cancelled. On its loop."""
    if not future.done():
        future.set_result(None)


async def until(future: asyncio.Future[None]) -> None:
    """Await *future*: a coroutine out of a future."""
    await future
