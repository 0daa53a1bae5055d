# SPDX-License-Identifier: MIT
"""Run the readiness checks of a worker, again and again, so that a probe only reads what they have found.

Theory of operation. Each check has a task of its own on the loop, which runs it, notes the outcome and
sleeps. So one that hangs delays no other, and a probe waits for none. A sync check gets a new daemon thread
for each run: those of the requests may all be busy, and that must not look like a failure of the database.
What does not end in its time has failed; a thread can't be stopped, and a coroutine may refuse to be, so
such a check is not run again until its last run has ended.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from concurrent.futures import Future
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ashapp.server.errors import describe
from ashapp.server.health.readiness import Check, registered_checks
from ashapp.server.health.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["Checker", "Outcome"]

_log = logging.getLogger("ashapp.server")

# Seconds that the startup waits for the first outcomes, so that the first probe meets them.
_FIRST_OUTCOMES = 1.0


@dataclass(frozen=True)
class Outcome:
    """What a check has found; *error* is None if it passed.

    *duration* is in seconds; *time*, when it ended, is in seconds since the epoch.
    """

    name: str
    error: str | None
    duration: float
    time: float


class Checker:
    """Runs the checks that are registered when it starts, each *interval* seconds after its last run.

    *make_context* makes a context manager that is entered around each sync check, on its thread. Of what a
    check raises *clean* makes the text that is shown and logged; by default that has no secrets, as far as
    they can be told.
    """

    def __init__(
        self,
        interval: float,
        make_context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        clean: Callable[[str], str] = redact,
    ) -> None:
        self.interval = interval
        #: The last outcome of each check that has one.
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
        """Run no check any more."""
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
        kind: type[BaseException] | None = None
        while True:
            began = time.perf_counter()
            kind = self._note(check.name, await run(), time.perf_counter() - began, kind)
            await asyncio.sleep(self.interval)

    def _note(
        self, name: str, error: BaseException | None, duration: float, last: type[BaseException] | None
    ) -> type[BaseException] | None:
        """Keep an outcome, log it if it is of another kind than the *last*, and return its kind."""
        text = None if error is None else describe(error, self._clean)
        self.outcomes[name] = Outcome(name, text, duration, time.time())
        self._pending.discard(name)
        if not self._pending:
            self._have_first_outcomes.set()
        kind = None if error is None else type(error)
        # Not by the text, which may differ each time, with an address or a time in it.
        if kind is not last:
            if text is None:
                _log.info("Readiness check %s passes again", name)
            else:
                _log.warning("Readiness check %s fails: %s", name, text)
        return kind


class _Run:
    """Runs one check, unless its last run goes on still."""

    def __init__(self, check: Check, make_context: Callable[[], AbstractContextManager[Any]]) -> None:
        self._check = check
        self._make_context = make_context
        self._task: asyncio.Task[object] | None = None
        self._thread: threading.Thread | None = None

    async def __call__(self) -> BaseException | None:
        """Run the check and return why it has failed, or None."""
        if self._goes_on():
            return TimeoutError(f"no answer within {self._check.timeout:g} s; its last run goes on still")
        self._task = asyncio.create_task(self._result())
        try:
            await asyncio.wait({self._task}, timeout=self._check.timeout)
        finally:
            self._task.cancel()
        if not self._task.done():
            return TimeoutError(f"no answer within {self._check.timeout:g} s")
        result = asyncio.CancelledError() if self._task.cancelled() else self._task.result()
        if isinstance(result, BaseException):
            return result
        return ValueError("it returned False") if result is False else None

    def _goes_on(self) -> bool:
        return (self._task is not None and not self._task.done()) or (
            self._thread is not None and self._thread.is_alive()
        )

    async def _result(self) -> object:
        """Return what the function returns, or the exception that it raises: a task can't hold every one."""
        try:
            function = self._check.function
            result = function() if inspect.iscoroutinefunction(function) else await self._run_on_thread()
            return await result if inspect.isawaitable(result) else result
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            return error

    async def _run_on_thread(self) -> object:
        future: Future[object] = Future()

        def run() -> None:
            try:
                with self._make_context():
                    result = self._check.function()
            except BaseException as error:
                result = error
            # Nobody waits any more where the time was up.
            if future.set_running_or_notify_cancel():
                future.set_result(result)

        self._thread = threading.Thread(target=run, name=f"ashapp-check-{self._check.name}", daemon=True)
        self._thread.start()
        return await asyncio.wrap_future(future)
