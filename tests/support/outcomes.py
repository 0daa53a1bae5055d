# SPDX-License-Identifier: MIT
"""When the calls of an ASGI application begin, and how they end."""

import queue
import threading
from typing import Any

from ashapp.bridge.messages.types import Receive, Scope, Send

__all__ = ["Outcomes"]


class Outcomes:
    """An ASGI application around another that tells when it is called and what each call raised."""

    def __init__(self, application: Any) -> None:
        self._application = application
        self._calls = threading.Semaphore(0)
        self._outcomes: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._calls.release()
        try:
            await self._application(scope, receive, send)
        except BaseException as error:
            self._outcomes.put(error)
            raise
        self._outcomes.put(None)

    def wait_for_call(self, timeout: float = 5) -> None:
        """Wait until the next call begins.

        Raises:
            AssertionError: none began within *timeout* seconds.

        """
        assert self._calls.acquire(timeout=timeout), "the application has not been called"

    def next(self, timeout: float = 5) -> BaseException | None:
        """Wait until a call ends, and return what it raised; each call is told of once.

        Raises:
            AssertionError: none ended within *timeout* seconds.

        """
        try:
            return self._outcomes.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("the application has not returned") from None
