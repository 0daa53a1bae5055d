# SPDX-License-Identifier: MIT
"""Which request the code of a loop's thread belongs to, seen from another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashapp.bridge.concurrency.greenlet_tasks import StandIn, note_outcome
from ashapp.bridge.request.loop_call import LoopCall

if TYPE_CHECKING:
    from types import FrameType

    from ashapp.bridge.request.wsgi_call import WsgiCall

__all__ = ["running_call"]

_OF_CALL = LoopCall.run_application.__code__
_OF_COROUTINE = note_outcome.__code__


def running_call(frame: FrameType | None) -> WsgiCall | None:
    """Return the call in whose greenlet *frame* is, the innermost one of a thread, or None."""
    while frame is not None:
        if frame.f_code is _OF_CALL:
            call: LoopCall = frame.f_locals["self"]
            return call
        if frame.f_code is _OF_COROUTINE:
            stand_in = frame.f_locals["greenlet"].call
            return stand_in.served if isinstance(stand_in, StandIn) else None
        frame = frame.f_back
    return None
