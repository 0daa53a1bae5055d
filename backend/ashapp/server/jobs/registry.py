# SPDX-License-Identifier: MIT
"""``run_once``: an application registers jobs that one worker at a time runs.

Each process has a registry of its own. This module imports nothing else of the server, so an application may
use it under any server. Under other servers it does nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

__all__ = ["registered_jobs", "run_once"]

F = TypeVar("F", bound=Callable[[], Any])

_jobs: dict[str, Callable[[], Any]] = {}


def run_once(function: F) -> F:
    """Let *function*, which takes no arguments, run in one worker of the service at a time.

    For example::

        @run_once
        def scheduler():
            scheduler = BackgroundScheduler()
            scheduler.add_job(tidy_up, "interval", minutes=5)
            scheduler.start()
            yield
            scheduler.shutdown()

    A generator function, async or not, begins something, yields once, and ends it. An ``async def`` runs on
    the event loop, and is cancelled at the end of its worker. Any other function runs on a thread that serves
    no requests. When a function has returned, it is done: no other worker runs it. An exception is logged,
    and the function is run again after 1, 2, 4, … up to 30 seconds. Sync functions have the context of the
    application.

    When the worker ends, in whatever way, another one takes over. Each replica of a cluster runs the job in
    one of its workers. ``ashapp serve`` runs the jobs; other servers do not.

    There is one registry for each process. A function of the same module and name replaces the one before, as
    when a factory of applications is called twice.

    Raises:
        TypeError: *function* is not a function.
    """
    name = f"{getattr(function, '__module__', None)}.{getattr(function, '__qualname__', '')}"
    if not callable(function) or name.endswith("."):
        raise TypeError(f"run_once takes a function without arguments, not {function!r}")
    _jobs[name] = function
    return function


def registered_jobs() -> Mapping[str, Callable[[], Any]]:
    """Return the jobs that are registered now, by module and name."""
    return dict(_jobs)
