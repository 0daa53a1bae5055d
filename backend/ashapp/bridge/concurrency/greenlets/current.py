# SPDX-License-Identifier: MIT
"""The current greenlet, and the call whose code runs now, in a greenlet or on a thread."""

import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from greenlet import getcurrent
from greenlet import greenlet as Greenlet  # noqa: N812 - apart from those of calls

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import Driver, PooledGreenlet, work

__all__ = ["current_call", "current_greenlet", "enter_call", "run_as_part", "running_call"]

T = TypeVar("T")


class _Thread(threading.local):
    """The call that a thread serves."""

    call: Call | None = None


_thread = _Thread()


def current_greenlet() -> PooledGreenlet | None:
    """Return the greenlet that runs now, itself or by a greenlet within it; None outside of one."""
    current: Greenlet | None = getcurrent()
    while current is not None:
        if type(current) is PooledGreenlet:
            return current
        current = current.parent
    return None


def current_call() -> Call | None:
    """Return the call whose code runs now, in a greenlet or on a thread that serves it, or None."""
    greenlet = current_greenlet()
    return _thread.call if greenlet is None else greenlet.driver.call


def enter_call(call: Call | None) -> Call | None:
    """Let this thread serve *call*; return the call that it has served before."""
    outer, _thread.call = _thread.call, call
    return outer


async def run_as_part(
    coroutine: Coroutine[Any, Any, T],
    driver: Driver,  # noqa: ARG001 - read by the frame
) -> T | SystemExit | KeyboardInterrupt | GeneratorExit:
    """Await *coroutine*, in a task of its own, as a part of what *driver* drives, for ``running_call``.

    Exceptions that a task must not raise are returned: ``SystemExit`` and ``KeyboardInterrupt`` stop the
    loop, and ``GeneratorExit`` closes the coroutines that await the task.
    """
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return error


def running_call(frame: FrameType | None) -> Call | None:
    """Return the call in whose greenlet *frame* is, the innermost one of a thread, or None. On any thread."""
    while frame is not None and frame.f_code not in {work.__code__, run_as_part.__code__}:
        frame = frame.f_back
    driver: Driver | None = None if frame is None else frame.f_locals.get("driver")
    return None if driver is None else driver.call
