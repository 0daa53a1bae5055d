# SPDX-License-Identifier: MIT
"""A lock for those who read a whole body: without it, two readers would each get a part."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from greenlet import getcurrent

from ashapp.bridge.concurrency.greenlets.waiting import make_wait

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

__all__ = ["ReadLock"]


class ReadLock:
    """A lock that threads and greenlets of *loop* hold in turns, and each of them may take again."""

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._mutex = threading.Lock()
        # The identity of a greenlet: to hold it, a traceback might keep it longer than its thread.
        self._holder: int | None = None
        self._depth = 0
        self._wakes: tuple[Callable[[], object], ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether somebody holds it."""
        return self._holder is not None

    def __enter__(self) -> None:
        """Wait for the lock and take it.

        Raises:
            RuntimeError: to wait here would block the loop.
        """
        me = id(getcurrent())
        while True:
            with self._mutex:
                if self._holder in {None, me}:
                    self._holder = me
                    self._depth += 1
                    return
                wake, wait = make_wait(self._loop)
                self._wakes += (wake,)
            wait()

    def __exit__(self, *_error: object) -> None:
        with self._mutex:
            self._depth -= 1
            if self._depth:
                return
            self._holder = None
            wakes, self._wakes = self._wakes, ()
        for wake in wakes:
            wake()
