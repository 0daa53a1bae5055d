# SPDX-License-Identifier: MIT
"""Tell at startup which async views hold a thread while they wait, and why."""

import shlex
from collections.abc import Iterable

from ashapp.bridge.placement.views import ViewKind
from ashapp.server.inspection.routes import Route

__all__ = ["hidden", "kept_off"]

_ASYNC = {ViewKind.ASYNC, ViewKind.ASYNC_GENERATOR}
_LOOKS_SYNC = {ViewKind.DECORATED_ASYNC, ViewKind.ASYNC_CALLABLE}
_NAMED = 3


def kept_off(routes: Iterable[Route]) -> list[str]:
    """Return one line if something keeps the async views of an application off the loop, else none.

    Those that are kept off it on purpose don't count.
    """
    kept = {
        route.endpoint: route.reason
        for route in routes
        if route.kind in _ASYNC and route.reason and not route.own_loop
    }
    if not kept:
        return []
    views = "1 async view runs on a thread" if len(kept) == 1 else f"{len(kept)} async views run on threads"
    # What is in the way of one is in the way of all.
    return [f"{views}: {next(iter(kept.values()))}"]


def hidden(routes: Iterable[Route], target: str) -> list[str]:
    """Return one line if there are async views that look sync to Flask, else none."""
    names = sorted({route.endpoint for route in routes if route.kind in _LOOKS_SYNC or route.async_methods})
    if not names:
        return []
    shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    count = f"Async views that look sync to Flask, and hold a thread while they wait: {len(names)} ({shown})"
    return [f"{count}; to see why: ashapp routes {shlex.quote(target)}"]
