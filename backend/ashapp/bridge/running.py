# SPDX-License-Identifier: MIT
"""Which request the code of a loop's thread belongs to, seen from another thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ashapp.bridge.fiber_tasks import StandIn, note_outcome
from ashapp.bridge.native import LoopExchange

if TYPE_CHECKING:
    from types import FrameType

    from ashapp.bridge.exchange import Exchange

__all__ = ["running_exchange"]

_OF_EXCHANGE = LoopExchange.run_application.__code__
_OF_COROUTINE = note_outcome.__code__


def running_exchange(frame: FrameType | None) -> Exchange | None:
    """Return the exchange in whose fiber *frame* is, the innermost one of a thread, or None."""
    while frame is not None:
        if frame.f_code is _OF_EXCHANGE:
            exchange: LoopExchange = frame.f_locals["self"]
            return exchange
        if frame.f_code is _OF_COROUTINE:
            stand_in = frame.f_locals["fiber"].exchange
            return stand_in.served if isinstance(stand_in, StandIn) else None
        frame = frame.f_back
    return None
