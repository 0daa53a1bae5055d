# SPDX-License-Identifier: MIT
"""The call whose code is found running on a thread, for who looks at the frames of it from another one."""

from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import Driver, work

__all__ = ["run_as_part", "running_call"]

T = TypeVar("T")


async def run_as_part(
    coroutine: Coroutine[Any, Any, T],
    driver: Driver,  # noqa: ARG001 - read by the frame
) -> T | SystemExit | KeyboardInterrupt | GeneratorExit:
    """Await *coroutine*, in a task of its own, as a part of what *driver* drives, for ``running_call``.

    What a task is not to raise is returned. ``SystemExit`` and ``KeyboardInterrupt`` stop the loop, and
    ``GeneratorExit`` closes the coroutines that await the task.
    """
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        return error


def running_call(frame: FrameType | None) -> Call | None:
    """Return the call in whose greenlet *frame* is, the innermost one of a thread, or None."""
    while frame is not None and frame.f_code not in {work.__code__, run_as_part.__code__}:
        frame = frame.f_back
    driver: Driver | None = None if frame is None else frame.f_locals.get("driver")
    return None if driver is None else driver.call
