# SPDX-License-Identifier: MIT
"""The pages of the control socket: ``/status``, ``/stacks``, ``/reload`` and ``/scale``."""

import os
import signal
import threading
import time
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from ashapp.bridge.messages.types import Environ, StartResponse
from ashapp.bridge.stacks import other_stacks
from ashapp.server.management.answers import Page, problem_page
from ashapp.server.worker_status.workers import Workers

__all__ = ["Control", "ControlPages"]

_METHODS = {"/status": "GET", "/stacks": "GET", "/reload": "POST", "/scale": "POST"}
# Seconds for workers to send their stacks. A thread does that, so a blocked loop does not matter.
_PATIENCE = 5.0
_MOST_WORKERS = 1000
_ALONE = "This service is one process, without a supervisor: start it with --supervisor or several --workers."


class Control:
    """The wishes of operators: a number of *workers*, and their stacks. The supervisor looks in each round.

    From any thread.
    """

    def __init__(self, workers: int) -> None:
        #: How many workers there should be.
        self.target = workers
        #: Grows each time that the stacks of all workers are asked for.
        self.version = 0
        #: The processes that are there now.
        self.pids: Collection[int] = ()
        self._stacks: dict[int, str] = {}
        self._told = threading.Condition()

    def stacks(self, seconds: float) -> dict[int, str]:
        """Ask all workers for their stacks; return the stacks that arrive within *seconds*."""
        with self._told:
            self.version += 1
            self._stacks = {}
            self._told.wait_for(lambda: self._stacks.keys() >= set(self.pids), seconds)
            return dict(self._stacks)

    def take_stacks(self, pid: int, text: str) -> None:
        """Note what a worker has answered."""
        with self._told:
            self._stacks[pid] = text
            self._told.notify_all()


class ControlPages:
    """A WSGI application about *workers*; *control* is None where there is no supervisor."""

    def __init__(self, workers: Workers | None, control: Control | None, stalled: float) -> None:
        self._workers = workers
        self._control = control
        self._stalled = stalled
        self._began = time.monotonic()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if path not in _METHODS:
            page = problem_page(HTTPStatus.NOT_FOUND, f"There are only {', '.join(_METHODS)}.")
        elif environ["REQUEST_METHOD"] != _METHODS[path]:
            allowed = _METHODS[path]
            page = problem_page(HTTPStatus.METHOD_NOT_ALLOWED, f"Use {allowed}.", ("Allow", allowed))
        else:
            page = getattr(self, f"_{path[1:]}")(environ.get("QUERY_STRING", ""))
        return page.answer(environ, start_response)

    def _status(self, _query: str) -> Page:
        statuses = [] if self._workers is None else self._workers.statuses()
        workers: list[dict[str, Any]] = [status.told(self._stalled) for status in statuses]
        known = {status.pid for status in statuses}
        if self._control is not None:
            workers += [{"pid": pid} for pid in self._control.pids if pid not in known]
        content = {"pid": os.getpid(), "uptime": round(time.monotonic() - self._began, 1), "workers": workers}
        return Page(HTTPStatus.OK, content)

    def _stacks(self, _query: str) -> Page:
        if self._control is None:
            return Page(HTTPStatus.OK, {"stacks": {str(os.getpid()): other_stacks()}})
        stacks = self._control.stacks(_PATIENCE)
        missing = "no answer: all its threads are held up, as by C code that holds the interpreter's lock"
        told = {str(pid): stacks.get(pid, missing) for pid in sorted({*stacks, *self._control.pids})}
        return Page(HTTPStatus.OK, {"stacks": told})

    def _reload(self, _query: str) -> Page:
        if self._control is None:
            return problem_page(HTTPStatus.CONFLICT, _ALONE)
        os.kill(os.getpid(), signal.SIGHUP)
        return Page(HTTPStatus.ACCEPTED, {"reloading": len(self._control.pids)})

    def _scale(self, query: str) -> Page:
        if self._control is None:
            return problem_page(HTTPStatus.CONFLICT, _ALONE)
        (text,) = parse_qs(query, keep_blank_values=True).get("workers", [""])[:1]
        if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:5]) <= _MOST_WORKERS:
            return problem_page(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"workers = {text!r}: must be a whole number from 1 to {_MOST_WORKERS}.",
            )
        before, self._control.target = self._control.target, int(text)
        return Page(HTTPStatus.ACCEPTED, {"workers": int(text), "before": before})
