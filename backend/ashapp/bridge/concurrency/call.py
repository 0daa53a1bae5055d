# SPDX-License-Identifier: MIT
"""The interface to a call, for code that may not import ``bridge/request``."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from ashapp.bridge.messages.types import RequestInfo

__all__ = ["Call", "Cancellable"]


class Cancellable(Protocol):
    """Something that can be cancelled: a task, or one step of a task."""

    def cancel(self) -> bool:
        """Cancel it; return False if it was done already."""
        ...

    def done(self) -> bool:
        """Say whether it is done."""
        ...

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that it runs on."""
        ...


class Call:
    """The WSGI call of one request, as code that runs for it sees it.

    ``greenlets.current.current_call`` returns the call whose code runs now.
    """

    #: Seconds for the end of tasks that are cancelled or left running.
    grace: float
    #: The context of the request.
    context: Context
    #: The server's loop.
    loop: asyncio.AbstractEventLoop
    #: Gets notes about the request, if a middleware around the bridge wants them.
    info: RequestInfo | None
    #: Whether Flask has matched the request.
    matched: bool

    @property
    def is_complete(self) -> bool:
        """Whether the whole response has been made."""
        raise NotImplementedError

    def note_match(self, endpoint: str) -> None:
        """Take note of the *endpoint* that Flask has matched. In the context of the request."""

    def note_response(self, response: Any) -> None:
        """Take note of *response*, the object of Flask's that is iterated next."""

    def note_task(self, task: Cancellable) -> None:
        """Cancel *task*, for which a thread of this call waits, with the request. On the loop of *task*."""

    def tear_down(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call *function*, which must not be interrupted, and return its result."""
        raise NotImplementedError

    def coroutine_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop for the coroutines that a thread of this call waits for. On that thread."""
        return self.loop

    def disown(self, way_back: Any) -> None:
        """Belong to the process that has forked this one: *way_back* is there in place of the loop."""
        raise NotImplementedError
