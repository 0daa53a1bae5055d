# SPDX-License-Identifier: MIT
"""Where code runs, and why."""

import asyncio
import os
import threading
from typing import Literal

from flask import current_app, request

from ashapp.api.openapi.operations import Model, Routes
from ashapp.bridge.admission.in_flight import ADMISSION

__all__ = ["Place", "place", "routes", "sync_place"]

routes = Routes("Place", "Where code runs, and why.")


class Place(Model):
    """Where a view runs. `reason` says why it is no loop. `in_flight` counts requests of this process."""

    place: Literal["loop", "thread"]
    reason: str | None
    thread: str
    task: str | None
    process: int
    in_flight: int | None


@routes.add("/place")
async def place() -> Place:
    """Tell where this async view runs: on the event loop, if nothing around it might block."""
    return _here()


@routes.add("/place/sync")
def sync_place() -> Place:
    """Tell where this sync view runs: on a thread of the pool."""
    return _here()


def _here() -> Place:
    admission = request.environ.get(ADMISSION)
    # The bridge sets it. Other WSGI servers only have threads.
    decision = current_app.extensions["ashapp"].placement.of(request.endpoint) if admission else None
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return Place(
        place="loop" if decision and decision.on_loop else "thread",
        reason=(decision.reason or None) if decision else "a WSGI server called it",
        thread=threading.current_thread().name,
        task=task.get_name() if task else None,
        process=os.getpid(),
        in_flight=admission.in_flight if admission else None,
    )
