# SPDX-License-Identifier: MIT
"""Tasks that the application leaves running: kept until they are done, and waited for at shutdown.

The event loop has only weak references to tasks, so one that a view starts and forgets could be
collected half-way, and would be cut off when the server stops. A task factory on the loop keeps those that
are created in the context of a request, which ``request_context`` marks.
"""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TaskKeeper", "request_context"]

_log = logging.getLogger("ashapp.bridge")

_in_request: ContextVar[bool] = ContextVar("ashapp_in_request", default=False)
_template = Context()
_template.run(_in_request.set, True)  # noqa: FBT003 - the value of the variable


def request_context() -> Context:
    """Return a new context for a request: empty, but for the mark that it is one."""
    return _template.copy()


class TaskKeeper:
    """The tasks of an application's requests on one loop."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Future[Any]] = set()
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep the tasks that are created on *loop* from now on."""
        if loop in self._loops:
            return
        self._loops.add(loop)
        inner: Callable[..., Any] | None = loop.get_task_factory()

        def create(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
            task = asyncio.Task(coro, loop=loop, **options) if inner is None else inner(loop, coro, **options)
            context = options.get("context")
            if _in_request.get() if context is None else context.get(_in_request):
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
            return task

        loop.set_task_factory(create)

    async def drain(self, grace: float) -> None:
        """Wait *grace* seconds for the tasks of this loop; cancel those that are not done by then."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while tasks := self._left(loop):  # again, for a task may leave others
            _, late = await asyncio.wait(tasks, timeout=max(deadline - loop.time(), 0))
            if late:
                break
        late = self._left(loop)
        for task in late:
            _log.warning("%r was not done when its time at shutdown was over: cancelled", task)
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)

    def _left(self, loop: asyncio.AbstractEventLoop) -> set[asyncio.Future[Any]]:
        return {task for task in self.tasks if not task.done() and task.get_loop() is loop}
