# SPDX-License-Identifier: MIT
"""Whose code runs: the current greenlet, and the call of a request that it or the thread serves."""

import threading

from greenlet import getcurrent
from greenlet import greenlet as Greenlet  # noqa: N812 - apart from those of calls

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.greenlets.pooled_greenlet import PooledGreenlet

__all__ = ["current_call", "current_greenlet", "enter_call"]


class _Thread(threading.local):
    """The call that a thread serves."""

    call: Call | None = None


_thread = _Thread()


def current_greenlet() -> PooledGreenlet | None:
    """Return the greenlet that runs now, if only by a greenlet within it, or None outside of one."""
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
    """Make *call* the one that this thread serves; return the one that it replaces."""
    outer, _thread.call = _thread.call, call
    return outer
