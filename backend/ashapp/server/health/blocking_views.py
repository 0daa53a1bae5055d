# SPDX-License-Identifier: MIT
"""Move async views that block the event loop to threads.

Theory of operation. The monitor of the loop asks this module which request a stack belongs to, and notes each
request that blocks for longer than the limit. The first time is only logged. The second time the endpoint is
moved: from then on its view runs on threads, with an event loop of its own. There, a view that uses an object
of the server's loop fails with a ``RuntimeError`` that says so. Such a view is moved back for good.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any

from flask import Flask, got_request_exception

from ashapp.bridge import nonblocking
from ashapp.bridge.concurrency.greenlets.current import running_call
from ashapp.observe.observation import Observation, current
from ashapp.server.health.loop_monitor import describe_request
from ashapp.server.health.state import MOVED_AT

if TYPE_CHECKING:
    from ashapp.bridge.loop_or_thread.placement import Placement

__all__ = ["BlockingViews", "find_request"]

_log = logging.getLogger("ashapp.server")

# Messages of asyncio for a future, a lock or a transport that is used on another loop than its own.
_OF_ANOTHER_LOOP = ("different loop", "different event loop", "Event loop is closed")


class BlockingViews:
    """The views of *app* that have blocked the loop for longer than *limit* seconds. From any thread.

    *blocks* counts, by endpoint, how often a view has done so. Each time the *listeners* are called with the
    endpoint.
    """

    def __init__(
        self,
        app: Flask,
        limit: float,
        blocks: Counter[str],
        listeners: Iterable[Callable[[str], object]] = (),
    ) -> None:
        #: The views that are moved to threads, by endpoint, and why.
        self.moved: dict[str, str] = {}
        self._placement: Placement = app.extensions["ashapp"].placement
        self._limit = limit
        self._blocks = blocks
        self._listeners = listeners
        self._moved_back: set[str] = set()
        got_request_exception.connect(self._note_error, app)
        for endpoint, times in blocks.items():
            if times >= MOVED_AT:
                self.keep(endpoint)

    def note(self, request: Observation, seconds: float) -> None:
        """Note that *request* has blocked the loop for *seconds* so far."""
        endpoint = request.endpoint
        if endpoint is None:
            return
        self._blocks[endpoint] += 1
        for listener in self._listeners:
            listener(endpoint)
        if endpoint in self._moved_back or endpoint in self.moved:
            return
        if self._blocks[endpoint] < MOVED_AT:
            _log.warning(
                "%s blocks the event loop for more than %g s. The next time it is moved to threads",
                describe_request(request),
                self._limit,
            )
            return
        self._move(endpoint)
        _log.warning(
            "%s is moved to threads, with an event loop of its own for each request: %s, now for %.1f s. "
            "@ashapp.on_thread keeps it there from the start",
            describe_request(request),
            self.moved[endpoint],
            seconds,
        )

    def keep(self, endpoint: str) -> None:
        """Keep the view of *endpoint* on threads, as it has blocked the loops of other workers."""
        if endpoint not in self._moved_back and endpoint not in self.moved:
            self._move(endpoint)
            _log.warning("The view of endpoint %r is kept on threads: %s", endpoint, self.moved[endpoint])

    def _move(self, endpoint: str) -> None:
        reason = f"it has blocked the event loop {MOVED_AT} times for more than {self._limit:g} s"
        self._placement.move(endpoint, reason)
        self.moved[endpoint] = reason

    @nonblocking
    def _note_error(self, _app: Flask, exception: BaseException | None = None, **_: Any) -> None:
        request = current.get()
        if request is None or request.endpoint not in self.moved or not _is_of_another_loop(exception):
            return
        self._placement.move_back(request.endpoint)
        self._moved_back.add(request.endpoint)
        del self.moved[request.endpoint]
        _log.error(
            "%s is moved back to the event loop, which it blocks: it uses what belongs to that loop (%s)",
            describe_request(request),
            exception,
        )


def find_request(frame: FrameType, loop: asyncio.AbstractEventLoop) -> Observation | None:
    """Return the request whose code runs in *frame*, on the thread of *loop*. From another thread."""
    call = running_call(frame)
    if call is not None:
        return call.info if isinstance(call.info, Observation) else None
    # As in a task that a view has made. A task has ``get_context`` since CPython 3.12.
    context_of = getattr(asyncio.current_task(loop), "get_context", None)
    return None if context_of is None else context_of().get(current)


def _is_of_another_loop(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_ANOTHER_LOOP)
