# SPDX-License-Identifier: MIT
"""Turns of those who want to read the whole body of one request, on the loop and on threads."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from greenlet import getcurrent

from ashapp.bridge.concurrency.futures import resolve, until
from ashapp.bridge.concurrency.greenlets import current_greenlet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ashapp.bridge.request.input_stream import RequestBody

__all__ = ["Turns"]


class Turns:
    """Who reads the whole body, and who waits to do so."""

    __slots__ = ("_is_broken", "_mutex", "_reader", "_waiting")

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        # The identity of a greenlet: to hold it, a traceback might keep it longer than its thread.
        self._reader: int | None = None
        self._waiting: tuple[Callable[[], None], ...] = ()
        self._is_broken = False

    @property
    def is_taken(self) -> bool:
        """Whether somebody reads."""
        return self._reader is not None

    @contextmanager
    def take(self, body: RequestBody) -> Iterator[None]:
        """Read *body*, while others who want to do so wait. To be nested at will.

        Raises:
            RuntimeError: one who read was cancelled, and has taken a part of the body along; or this is a
                callback of the loop, which can't wait.

        """
        if self._reader == id(getcurrent()):
            yield
            return
        self._begin(body)
        before = body.advances
        try:
            yield
        except Exception:
            raise
        except BaseException:
            self._is_broken = self._is_broken or body.advances != before
            raise
        finally:
            self._end()

    def _begin(self, body: RequestBody) -> None:
        while True:
            with self._mutex:
                if self._is_broken:
                    raise RuntimeError(
                        "the request body can't be read: an earlier read of it was cancelled half-way, and "
                        "what that had read is lost"
                    )
                if self._reader is None:
                    self._reader = id(getcurrent())
                    return
                wait = self._make_wait(body)
            wait()

    def _end(self) -> None:
        with self._mutex:
            self._reader = None
            waiting, self._waiting = self._waiting, ()
        for begin in waiting:
            begin()

    def _make_wait(self, body: RequestBody) -> Callable[[], object]:
        if body.is_on_loop():
            greenlet = current_greenlet()
            if greenlet is not None and greenlet.call is not None:
                turn = body.loop.create_future()
                self._waiting += (partial(body.call_loop, partial(resolve, turn)),)
                return partial(greenlet.call.run_coroutine, until(turn))
            if not body.complete:
                body.refuse_to_block()
        lock = threading.Lock()
        lock.acquire()
        self._waiting += (lock.release,)
        return lock.acquire
