# SPDX-License-Identifier: MIT
"""Response bodies: asynchronous ones as WSGI iterables, and what may be iterated on the loop."""

from __future__ import annotations

import time
import weakref
from collections.abc import AsyncIterable
from inspect import isasyncgen
from types import FunctionType
from typing import TYPE_CHECKING, Any

import flask
from werkzeug.wrappers import Response

from ashapp.bridge.concurrency.greenlets import current_greenlet
from ashapp.bridge.flask.attributes import attribute_of
from ashapp.bridge.request.async_iteration import BodyTask, aclose, next_item, start_body_task
from ashapp.bridge.request.wsgi_call import RUN_OUT_SECONDS, current_call

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["AsyncBody", "ContextBody", "adopt_body", "as_body", "runs_inline"]


class AsyncBody:
    """An async iterable as an iterator, for a WSGI response.

    Each item is awaited where the response is iterated: in a greenlet this suspends the greenlet, on a thread
    the thread waits for a task (see ``body_tasks``).
    """

    _task: BodyTask | None = None
    _is_begun = False
    _is_closed = False
    _run_out_end: float | None = None

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._iterator = aiter(iterable)
        call = current_call()
        if call is not None:
            call.coroutine_loop()  # chosen now: when the items are awaited, the context may be gone

    def __iter__(self) -> AsyncBody:
        return self

    def __next__(self) -> Any:
        try:
            return self._next()
        except StopAsyncIteration:
            self.close()
            raise StopIteration from None
        except Exception:
            if self._task is not None:
                self.close()
            raise

    def _next(self) -> Any:
        self._is_begun = True
        greenlet = current_greenlet()
        call = None if greenlet is None else greenlet.call
        server = call or current_call()
        seconds = self._seconds_left() if server is not None and server.is_complete else None
        if call is not None:
            source = next_item(self._iterator, seconds) if self._task is None else self._task.aitem(seconds)
            return call.run_coroutine(source, in_task=True)
        return self._own_task().item(seconds)

    def _own_task(self) -> BodyTask:
        if self._task is None:
            self._task = start_body_task(self._iterator)
            if self._task.own_loop is not None:
                # The task does not hold this object, which may be dropped without being closed.
                weakref.finalize(self, self._task.abandon).atexit = False
        return self._task

    def _seconds_left(self) -> float:
        # The response is complete: what is behind the last item may take its time, but not for ever.
        if self._run_out_end is None:
            self._run_out_end = time.monotonic() + RUN_OUT_SECONDS
        return max(self._run_out_end - time.monotonic(), 0)

    def close(self) -> None:
        """Close the async generator, so that its ``finally`` runs now."""
        if self._is_closed:
            return
        self._is_closed = True
        if not self._is_begun and isasyncgen(self._iterator):
            return  # nothing of it has run
        greenlet = current_greenlet()
        if greenlet is not None and greenlet.call is not None:
            end = aclose(self._iterator) if self._task is None else self._task.aclose()
            greenlet.call.run_coroutine(end, in_task=True)
        else:
            self._own_task().close()


class ContextBody(AsyncBody):
    """An async iterable whose items are awaited in the request context, by ``flask.stream_with_context``."""

    def __init__(self, iterable: AsyncIterable[Any]) -> None:
        self._body = AsyncBody(iterable)
        self._generator: Any = flask.stream_with_context(self._body)

    def __next__(self) -> Any:
        return next(self._generator)

    def close(self) -> None:
        """Close the async generator, then leave the context."""
        try:
            self._body.close()
        finally:
            self._generator.close()


def as_body(value: Any) -> Any:
    """Return *value*, or what to iterate in its place where it is an async iterable.

    ``flask.stream_with_context`` takes an async iterable for a function, and what it returns is a decorated
    function, with that iterable as ``__wrapped__``.
    """
    if isinstance(value, AsyncIterable):
        return AsyncBody(value)
    wrapped = vars(value).get("__wrapped__") if type(value) is FunctionType else None
    return ContextBody(wrapped) if isinstance(wrapped, AsyncIterable) else value


def adopt_body(response: Any) -> None:
    """Give *response* what to iterate in place of a body that is async, if it is one of Werkzeug's."""
    if isinstance(response, Response):
        body = attribute_of(response, "response")
        if type(body) is not list and (adopted := as_body(body)) is not body:
            response.response = adopted


def runs_inline(iterable: Iterable[bytes], response: Any) -> tuple[bool, bool]:
    """Say whether *iterable*, the body of *response*, may be iterated on the loop, and closed there.

    It may be iterated where all items are there, or are awaited, and closed where that calls nothing of
    the application's. Without a *response* of Werkzeug's, nobody knows.
    """
    if isinstance(iterable, list | tuple):
        return True, True
    if not isinstance(response, Response):
        return False, False
    body = attribute_of(response, "response")
    return isinstance(body, list | tuple | AsyncBody), attribute_of(response, "_on_close") == []
