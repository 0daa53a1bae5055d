# SPDX-License-Identifier: MIT
"""Resolving an asyncio future that its owner may have cancelled in the meantime."""

import asyncio

__all__ = ["resolve"]


def resolve(future: asyncio.Future[None]) -> None:
    """Complete *future*, unless it has been cancelled. On its loop."""
    if not future.done():
        future.set_result(None)
