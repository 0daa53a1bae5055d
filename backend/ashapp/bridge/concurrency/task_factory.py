# SPDX-License-Identifier: MIT
"""The task factory of the bridge: it sees each task that the loop creates.

The event loop has only weak references to tasks. A task that a view starts and forgets could be garbage
collected half-way, and the shutdown would not wait for it. So tasks that are created in the context of a
request are kept until they are done, and waited for at shutdown.

Sync code in such a task may read the body of the request, and must wait for the rest of it. So while the body
is incomplete, the task drives a greenlet.

A task of uvicorn's for a request does not begin in the context of the request before it (see ``context``).
"""

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any
from weakref import WeakSet

from ashapp.bridge.concurrency.context import body_may_block, in_request
from ashapp.bridge.concurrency.greenlets.greenlet_task import run_in_greenlet

__all__ = ["TaskKeeper", "end_tasks"]

_log = logging.getLogger("ashapp.bridge")

# The coroutine by which uvicorn calls an application, for one request.
_UVICORN_REQUEST = "run_asgi"


class TaskKeeper:
    """The tasks of an application's requests on one loop."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Future[Any]] = set()
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        #: The context in which the server has been started.
        self.startup_context = Context()

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after the tasks that are created on *loop* from now on."""
        if loop in self._loops:
            return
        self._loops.add(loop)
        inner: Callable[..., Any] | None = loop.get_task_factory()

        def create(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
            context: Context | None = options.get("context")
            if context is None and getattr(coro, "__name__", "") == _UVICORN_REQUEST:
                options["context"] = context = self.startup_context.copy()
            is_ours = in_request.get() if context is None else context.get(in_request)
            driver = _able_to_wait(coro, options) if is_ours else coro
            if inner is None:
                task: Any = asyncio.Task(driver, loop=loop, **options)
            else:
                task = inner(loop, driver, **options)
            if is_ours:
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)
                if driver is not coro:  # which has not begun, if the task is cancelled before its first step
                    task.add_done_callback(lambda _: coro.close())
            return task

        loop.set_task_factory(create)

    async def drain(self, grace: float) -> None:
        """Wait *grace* seconds for the tasks of this loop; cancel those that are not done by then."""
        loop = asyncio.get_running_loop()
        late = "%r was not done when its time at shutdown was over: cancelled"
        await end_tasks(
            lambda: {task for task in self.tasks if not task.done() and task.get_loop() is loop}, grace, late
        )


async def end_tasks(left: Callable[[], set[Any]], grace: float, late: str) -> None:
    """Wait *grace* seconds for the tasks that *left* returns; cancel and log those that are *late*."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    while tasks := left():  # again, for a task may leave others
        if (await asyncio.wait(tasks, timeout=max(deadline - loop.time(), 0)))[1]:
            break
    tasks = left()
    for task in tasks:
        _log.warning(late, task)
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)


def _able_to_wait(coro: Any, options: dict[str, Any]) -> Any:
    """Return *coro*; or a coroutine that runs it in a greenlet, if sync code in it may wait for the body."""
    context: Context | None = options.get("context")
    if context is None:
        context = copy_context()
    may_block = context.get(body_may_block)
    if may_block is None or not may_block():
        return coro
    # The task only drives the greenlet, which has the context: a task would mark it as entered.
    options["context"] = Context()
    driver: Any = run_in_greenlet(coro, context)
    for name in ("__name__", "__qualname__"):  # an ``aclose()`` has none
        setattr(driver, name, getattr(coro, name, type(coro).__name__))
    return driver
