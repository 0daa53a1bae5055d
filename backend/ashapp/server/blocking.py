# SPDX-License-Identifier: MIT
"""What is done about async views that block the event loop: they are told of, and moved to threads.

Theory of operation. The guard of the loop (see ``ashapp.observe.loop_guard``) asks here whose code it sees in
a stack, and tells of each request that blocks for longer than the limit. What does so once may have had bad
luck; the second time its endpoint is moved: the placement of views says from then on that it runs on
threads, with an event loop of its own. A view that can't run there, as it uses what belongs to the server's
loop, fails with a ``RuntimeError`` that says so; then it is moved back for good.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from flask import Flask, got_request_exception

from ashapp.bridge import nonblocking
from ashapp.bridge.running import running_exchange
from ashapp.observe.loop_guard import describe
from ashapp.observe.observation import Observation, current

if TYPE_CHECKING:
    from ashapp.bridge.placement import Placement

__all__ = ["BlockingViews", "find_request"]

_log = logging.getLogger("ashapp.server")

# The block of the loop at which a view is moved.
_MOVED_AT = 2

# What asyncio says where a future, a lock or a transport of one loop is used on another.
_OF_ANOTHER_LOOP = ("different loop", "different event loop", "Event loop is closed")


class BlockingViews:
    """The views of *app* that have blocked the loop for longer than *limit* seconds.

    *count* is called with the endpoint each time. From any thread.
    """

    def __init__(self, app: Flask, limit: float, count: Callable[[str], object] = lambda _: None) -> None:
        self.count = count
        #: The views that are moved to threads, by endpoint, and why.
        self.moved: dict[str, str] = {}
        self._placement: Placement = app.extensions["ashapp"].placement
        self._limit = limit
        self._blocks: Counter[str] = Counter()
        self._moved_back: set[str] = set()
        got_request_exception.connect(self._note_error, app)

    def note(self, request: Observation, seconds: float) -> None:
        """Take note that *request* has blocked the loop for so many *seconds*, so far."""
        endpoint = request.endpoint
        if endpoint is None:
            return
        self._blocks[endpoint] += 1
        self.count(endpoint)
        if endpoint in self._moved_back or endpoint in self.moved:
            return
        if self._blocks[endpoint] < _MOVED_AT:
            _log.warning(
                "%s blocks the event loop for more than %g s. The next time it is moved to threads",
                describe(request),
                self._limit,
            )
            return
        reason = f"it has blocked the event loop {_MOVED_AT} times for more than {self._limit:g} s"
        self._placement.move(endpoint, reason)
        self.moved[endpoint] = reason
        _log.warning(
            "%s is moved to threads, with an event loop of its own for each request: %s, now for %.1f s. "
            "@ashapp.on_thread keeps it there from the start",
            describe(request),
            reason,
            seconds,
        )

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
            describe(request),
            exception,
        )


def find_request(frame: FrameType, loop: asyncio.AbstractEventLoop) -> Observation | None:
    """Return the request whose code runs in *frame*, on the thread of *loop*. From another thread."""
    exchange = running_exchange(frame)
    if exchange is not None:
        return exchange.notes if isinstance(exchange.notes, Observation) else None
    # A task that a view has made, for instance. Its context can be had since CPython 3.12.
    context_of = getattr(asyncio.current_task(loop), "get_context", None)
    return None if context_of is None else context_of().get(current)


def _is_of_another_loop(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OF_ANOTHER_LOOP)
