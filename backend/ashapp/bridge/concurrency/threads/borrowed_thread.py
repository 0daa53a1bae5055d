# SPDX-License-Identifier: MIT
"""A thread that a request has only while a sync callable of it runs.

Theory of operation. A WebSocket lives for hours, and a thread that it held would be missed. Where requests
have thread-local values of their own, it has a thread only while one of its callables runs. Its values go
with it from one thread to the next. So it is with a static file, of which each block is read on a thread.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from ashapp.bridge.concurrency.threads.request_thread import RequestThread

if TYPE_CHECKING:
    from ashapp.bridge.concurrency.threads.request_thread import RequestThreadPool
    from ashapp.bridge.concurrency.threads.thread_pool import Handoff

__all__ = ["BorrowedThread"]


class BorrowedThread(RequestThread):
    """A thread for a WebSocket or a static file, while a sync callable of it runs; not always the same."""

    __slots__ = ("_is_working", "_lock", "_waiting")

    def __init__(self, pool: RequestThreadPool, *, is_nested: bool = False) -> None:
        super().__init__(pool, is_nested=is_nested)
        self._waiting: deque[Handoff] = deque()
        self._lock = threading.Lock()
        self._is_working = False

    def submit(self, handoff: Handoff) -> None:
        """Run *handoff* after those that have been submitted before; see ``RequestThread``."""
        with self._lock:
            self._waiting.append(handoff)
            if self._is_working:
                return
            self._is_working = True
        try:
            self._start(self._work_off)
        except RuntimeError:
            self._waiting.clear()
            self._is_working = False
            raise

    def withdraw(self, handoff: Handoff) -> bool:
        """Take *handoff* back if it has not begun; say whether it did."""
        with self._lock:
            if handoff not in self._waiting:
                return False
            self._waiting.remove(handoff)
        return True

    def _work_off(self) -> None:
        self._arrive()
        while True:
            with self._lock:
                if not self._waiting:
                    self._is_working = False
                    return
                handoff = self._waiting.popleft()
            handoff()
            del handoff
