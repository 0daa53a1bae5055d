# SPDX-License-Identifier: MIT
"""A Flask application that streams, as the test lets it."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from flask import Flask, Response

__all__ = ["FORMS", "Producer"]


class Producer:
    """A Flask application with a stream that the test lets go on, in each of the forms that there are."""

    def __init__(self, form: str) -> None:
        self.app = Flask(__name__)
        self.go = threading.Semaphore(0)
        self.over = False
        self.produced = 0
        self.threads: list[int] = []
        self.endings: list[tuple[str, int]] = []
        view: Any = {"sync": self._view, "async": self._async_view, "async body": self._async_body_view}[form]
        self.app.add_url_rule("/", view_func=view, methods=["GET", "POST"])

    def finish(self) -> None:
        """Let the stream end, should it not have done so."""
        self.over = True
        self.go.release()

    def _view(self) -> Response:
        return Response(self._generate())

    async def _async_view(self) -> Response:
        return Response(self._generate())

    async def _async_body_view(self) -> AsyncIterator[bytes]:
        return self._agenerate()

    def _generate(self) -> Iterator[bytes]:
        try:
            while True:
                self.threads.append(threading.get_ident())
                assert self.go.acquire(timeout=10)
                if self.over:
                    return
                self.produced += 1
                yield b"%d" % self.produced
        except BaseException as error:
            self.endings.append((type(error).__name__, threading.get_ident()))
            raise

    async def _agenerate(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.threads.append(threading.get_ident())
                deadline = time.monotonic() + 10
                while not self.go.acquire(blocking=False):
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.001)
                if self.over:
                    return
                self.produced += 1
                yield b"%d" % self.produced
        except BaseException as error:
            self.endings.append((type(error).__name__, threading.get_ident()))
            raise


FORMS = ["sync", "async", "async body"]
