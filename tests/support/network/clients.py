# SPDX-License-Identifier: MIT
"""Clients on a thread and a loop of their own, while something happens to the server that they talk to."""

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ClassVar, Self

from tests.support.waiting import PATIENCE

__all__ = ["Clients"]


class Clients(ABC):
    """Runs sessions until the block ends; one that fails is noted in *failures*, and begun again."""

    #: What a session that fails may raise; anything else ends the clients.
    errors: ClassVar[tuple[type[Exception], ...]] = (OSError, EOFError, ValueError)

    def __init__(self) -> None:
        self.failures: list[str] = []
        self._is_over = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._is_over = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive(), "requests are not answered, or a session does not end"

    @abstractmethod
    async def _run(self) -> None:
        """Repeat all sessions at once."""

    async def _repeat(self, session: Callable[[], Awaitable[None]], name: str) -> None:
        while not self._is_over:
            try:
                await session()
            except self.errors as error:
                self.failures.append(f"{time.strftime('%T')} {name}: {error!r}")
                await asyncio.sleep(0.01)
