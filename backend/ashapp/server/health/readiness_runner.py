# SPDX-License-Identifier: MIT
"""Runs the readiness checks of a worker again and again, so that a probe only reads their outcomes.

Theory of operation. Each check has a task of its own on the loop, which runs it, notes the outcome and
sleeps. So a check that hangs delays no other, and a probe waits for none. Each run of a sync check has a new
daemon thread, as all threads for requests may be busy. A check that does not end in its time has failed. A
thread can't be stopped, and a coroutine may refuse to stop. So a check is not run again while its last run
goes on.
"""

import asyncio
import inspect
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ashapp.server.errors import describe
from ashapp.server.health.readiness import Check, registered_checks

__all__ = ["Checker", "Outcome"]

_log = logging.getLogger("ashapp.server")

# Seconds that the startup waits for the first outcomes, so that the first probe meets them.
_FIRST_OUTCOMES = 1.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check; *error* is None if it passed.

    *duration* is in seconds; *time*, when it ended, is in seconds since the epoch.
    """

    name: str
    error: str | None
    duration: float
    time: float

    def told(self) -> dict[str, Any]:
        """Return it as operators see it."""
        ended = datetime.fromtimestamp(self.time, UTC).isoformat(timespec="milliseconds")
        age = time.time() - self.time
        return {**asdict(self), "ok": self.error is None, "time": ended, "age": age}


class Checker:
    """Runs the checks that are registered when it starts, each *interval* seconds after its last run.

    *make_context* makes a context manager that is entered around each sync check, on its thread. *clean* is
    applied to the text of an exception before it is shown and logged.
    """

    def __init__(
        self,
        interval: float,
        make_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        clean: Callable[[str], str] = str,
    ) -> None:
        self.interval = interval
        #: The last outcome of each check that has run.
        self.outcomes: dict[str, Outcome] = {}
        self._make_context = make_context
        self._clean = clean
        self._tasks: list[asyncio.Task[None]] = []
        self._pending: set[str] = set()
        self._have_first_outcomes = asyncio.Event()

    async def start(self) -> None:
        """Run the checks until ``stop``; return when each has an outcome, or after a second."""
        checks = registered_checks().values()
        if not checks:
            return
        self._pending = {check.name for check in checks}
        self._tasks = [asyncio.create_task(self._repeat(check)) for check in checks]
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_OUTCOMES):
                await self._have_first_outcomes.wait()

    async def stop(self) -> None:
        """Stop all checks."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def failure(self) -> str | None:
        """Return which checks fail, by their names, or None: a reason not to be ready."""
        failed = [name for name, outcome in self.outcomes.items() if outcome.error is not None]
        if failed:
            return f"readiness checks failed: {', '.join(sorted(failed))}"
        return f"readiness not checked yet: {', '.join(sorted(self._pending))}" if self._pending else None

    async def _repeat(self, check: Check) -> None:
        run = _Run(check, self._make_context)
        last: type[object] = type(None)
        while True:
            began = time.perf_counter()
            error = await run.error()
            text = None if error is None else describe(error, self._clean)
            self.outcomes[check.name] = Outcome(check.name, text, time.perf_counter() - began, time.time())
            self._pending.discard(check.name)
            if not self._pending:
                self._have_first_outcomes.set()
            # Only changes are logged. Types are compared, not texts: these may have an address or a time in
            # them.
            if type(error) is not last:
                if text is None:
                    _log.info("Readiness check %s passes again", check.name)
                else:
                    _log.warning("Readiness check %s fails: %s", check.name, text)
            last = type(error)
            await asyncio.sleep(self.interval)


class _Run:
    """Runs one check, unless its last run goes on still."""

    def __init__(self, check: Check, make_context: Callable[[], AbstractContextManager[Any]]) -> None:
        self._check = check
        self._make_context = make_context
        self._task: asyncio.Task[object] | None = None
        self._thread: threading.Thread | None = None

    async def error(self) -> BaseException | None:
        """Run the check and return why it has failed, or None."""
        timeout = self._check.timeout
        if (self._task and not self._task.done()) or (self._thread and self._thread.is_alive()):
            return TimeoutError(f"no answer within {timeout:g} s; its last run goes on still")
        self._task = asyncio.create_task(self._result())
        try:
            await asyncio.wait({self._task}, timeout=timeout)
        finally:
            self._task.cancel()
        if not self._task.done():
            return TimeoutError(f"no answer within {timeout:g} s")
        result = asyncio.CancelledError() if self._task.cancelled() else self._task.result()
        if isinstance(result, BaseException):
            return result
        return ValueError("it returned False") if result is False else None

    async def _result(self) -> object:
        """Return the function's result, or the exception that it raises: a task can't hold all of them."""
        try:
            function = self._check.function
            result = function() if inspect.iscoroutinefunction(function) else await self._on_thread()
            return await result if inspect.isawaitable(result) else result
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return error

    async def _on_thread(self) -> object:
        future: Future[object] = Future()

        def run() -> None:
            try:
                with self._make_context():
                    result = self._check.function()
            except BaseException as error:
                result = error
            if future.set_running_or_notify_cancel():  # else nobody waits any more
                future.set_result(result)

        self._thread = threading.Thread(target=run, name=f"ashapp-check-{self._check.name}", daemon=True)
        self._thread.start()
        return await asyncio.wrap_future(future)
