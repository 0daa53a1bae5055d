# SPDX-License-Identifier: MIT
"""Wait for something that may take long, unless a signal puts an end to the wait."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Interruption"]


class Interruption:
    """May come at any time, from any thread or signal handler; then nothing is waited for any more."""

    def __init__(self) -> None:
        self._has_come = False
        self._tell: Callable[[], object] | None = None

    def come(self) -> None:
        """Cancel what is waited for."""
        self._has_come = True
        if self._tell is not None:
            self._tell()

    async def wait_for(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for *work*; return whether it is done, and has not been cancelled by an interruption."""
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        self._tell = lambda: loop.call_soon_threadsafe(task.cancel)
        if self._has_come:
            self._tell()
        try:
            await task
        except asyncio.CancelledError:
            if not self._has_come:
                raise
            return False
        finally:
            self._tell = None
        return True
