# SPDX-License-Identifier: MIT
"""The idle greenlets of a thread, kept for reuse.

Theory of operation. A greenlet serves another request only if nothing but its holder refers to it. Otherwise
the next request could find values that other code has stored on the greenlet, or by it. So its references are
counted when it is given back, and compared with their number when it was made. If there are more, it waits in
another list until the other references are gone.
"""

import threading
from contextvars import Context
from sys import getrefcount
from typing import Any, Protocol
from weakref import getweakrefcount

from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet

__all__ = ["Holder", "give_back", "take"]

# How many each thread keeps: idle greenlets hold memory.
_MAX_IDLE = 256


class Holder(Protocol):
    """An object that uses a greenlet alone."""

    #: The greenlet; None while there is none.
    greenlet: Any


class _Thread(threading.local):
    """The idle greenlets of a thread."""

    def __init__(self) -> None:
        #: Those to which nothing else refers.
        self.idle: list[PooledGreenlet] = []
        #: Those to which something else refers.
        self.held: list[PooledGreenlet] = []


_thread = _Thread()


def take(holder: Holder, context: Context, depth: int) -> None:
    """Give *holder* a greenlet that runs in *context*, with this *depth*."""
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
    """Give *holder* a greenlet whose other references are gone; say whether there is one."""
    held = _thread.held
    for _ in range(len(held)):
        holder.greenlet = held.pop()
        if _is_held(holder):
            # It can't be dropped: greenlet 2 can't always kill a greenlet when its last reference goes.
            held.insert(0, holder.greenlet)
        elif not _is_marked(holder.greenlet):
            return True
    return False


def give_back(holder: Holder, *, has_ended: bool) -> None:
    """Take back the greenlet of *holder*, unless other objects refer to it and the coroutine goes on."""
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
    """Say whether there is a weak reference to *greenlet*, or something is stored on it.

    Locals of gevent do both.
    """
    return getweakrefcount(greenlet) > greenlet.weak_references or bool(greenlet.__dict__)
