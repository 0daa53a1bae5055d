# SPDX-License-Identifier: MIT
"""The greenlets of a thread that have nothing to do, kept to be used again.

Theory of operation. A greenlet serves another request only if nobody but its holder knows it. Else the next
request would find what somebody has kept on the greenlet, or by it. So the references to it are counted when
it is given back, and compared with those that there were when it was made. One that is held waits in a list
of its own until nobody holds it.
"""

import threading
from contextvars import Context
from sys import getrefcount
from typing import Any, Protocol
from weakref import getweakrefcount

from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet

__all__ = ["Holder", "give_back", "take"]

# How many are kept by each thread: idle ones hold memory.
_MAX_IDLE = 256


class Holder(Protocol):
    """What uses a greenlet for itself."""

    #: The greenlet; None while there is none.
    greenlet: Any


class _Thread(threading.local):
    """The greenlets of a thread that have nothing to do."""

    def __init__(self) -> None:
        #: Those that nobody knows.
        self.idle: list[PooledGreenlet] = []
        #: Those that somebody holds.
        self.held: list[PooledGreenlet] = []


_thread = _Thread()


def take(holder: Holder, context: Context, depth: int) -> None:
    """Give *holder* a greenlet that runs in *context*, and is in so many coroutines as *depth*."""
    idle = _thread.idle
    if idle:
        holder.greenlet = idle.pop()
    elif not _take_held(holder):
        holder.greenlet = PooledGreenlet()
        holder.greenlet.references = getrefcount(holder.greenlet)
        holder.greenlet.weak_references = getweakrefcount(holder.greenlet)
    holder.greenlet.gr_context = context
    holder.greenlet.depth = depth


def _take_held(holder: Holder) -> bool:
    """Give *holder* a greenlet that nobody holds any more; say whether there is one."""
    held = _thread.held
    for _ in range(len(held)):
        holder.greenlet = held.pop()
        if _is_held(holder):
            # To drop it, to be killed when who holds it ends, is what greenlet 2 can't do everywhere.
            held.insert(0, holder.greenlet)
        elif not _is_marked(holder.greenlet):
            return True
    return False


def give_back(holder: Holder, *, has_ended: bool) -> None:
    """Take back the greenlet of *holder*, unless somebody else knows it and the coroutine has not ended."""
    is_held, is_marked = _is_held(holder), _is_marked(holder.greenlet)
    if (is_held or is_marked) and not has_ended:
        return
    greenlet, holder.greenlet = holder.greenlet, None
    del greenlet.driver
    greenlet.gr_context = None
    greenlet.depth = 0
    kept = _thread.held if is_held else _thread.idle
    if len(kept) < _MAX_IDLE and (is_held or not is_marked):
        kept.append(greenlet)


def _is_held(holder: Holder) -> bool:
    return getrefcount(holder.greenlet) != holder.greenlet.references  # type: ignore[no-any-return]


def _is_marked(greenlet: PooledGreenlet) -> bool:
    """Say whether somebody knows *greenlet* by a weak reference, or has kept something on it.

    So do locals of gevent.
    """
    return getweakrefcount(greenlet) > greenlet.weak_references or bool(greenlet.__dict__)
