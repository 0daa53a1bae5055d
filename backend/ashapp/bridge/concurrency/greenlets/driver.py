# SPDX-License-Identifier: MIT
"""What a greenlet belongs to, as the sync code in it sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ashapp.bridge.concurrency.call import Call

__all__ = ["Driver"]


class Driver:
    """What drives a greenlet, and what the sync code in there asks for what it can't do itself.

    The call of an async view is one, and so is each task of a request (see ``greenlet_task``).
    """

    __slots__ = ()

    @property
    def call(self) -> Call | None:
        """The call of the request to which the code in the greenlet belongs, if it is known."""
        raise NotImplementedError

    def run_coroutine(self, coroutine: Coroutine[Any, Any, Any], *, in_task: bool = False) -> Any:
        """Run *coroutine* to its end, in the greenlet that calls, and return its result.

        Where nothing may be interrupted it runs in a task of its own, unless it must run *in_task*: in the
        one that drives the greenlet.
        """
        raise NotImplementedError

    def run_on_request_thread(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the sync *function* on the thread of the request, and return its result. In the greenlet."""
        raise NotImplementedError
