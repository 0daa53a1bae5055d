# SPDX-License-Identifier: MIT
"""One request of a test client: the client's side of ASGI, and the application's thread.

Theory of operation. The bridge runs on a loop of its own, in another thread. Both what it sends and
the job that it would give to a thread of its pool come to the caller through one queue. The caller runs the
job, which pauses after each chunk, and lets it go on when it wants more: so a stream is made as it is
read, as it is when Werkzeug's client calls the application itself.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from .bridge import Job, bridge_for, caller
from .scope import make_scope
from .upload import Upload

if TYPE_CHECKING:
    from collections.abc import Generator

    from ashapp.bridge.messages.types import Environ, Message

__all__ = ["Conversation"]

_PATIENCE = 30  # seconds


class _End:
    """The bridge has returned, or raised *error*."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Conversation:
    """The exchange of one request, from the thread that makes it."""

    def __init__(self, application: Any, environ: Environ, loop: asyncio.AbstractEventLoop) -> None:
        self._bridge = bridge_for(application)
        self._scope = make_scope(environ)
        self._upload = Upload(environ)
        self._loop = loop
        self._thread = threading.get_ident()
        self._events: SimpleQueue[Message | Job | _End] = SimpleQueue()
        self._paused: Job | None = None
        self._owed = False  # the application has made a chunk that has not arrived
        self._ended = False

    def begin(self) -> tuple[str, Headers]:
        """Make the request; return the status line and the headers of the response.

        Raises:
            BaseException: what the application raises before it has responded.

        """
        # The request sees what surrounds its client, as where that calls the application itself.
        self._loop.call_soon_threadsafe(self._start, context=copy_context())
        message = self._next_message()
        if message is None:
            raise RuntimeError("the bridge returned without a response")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        return _status_line(message["status"]), Headers(headers)

    def body(self) -> Generator[bytes, None, None]:
        """Yield the chunks of the body as they are sent; break the response off when closed before.

        Raises:
            BaseException: what the application raises meanwhile.

        """
        try:
            more = True
            while more:
                message = self._next_message()
                if message is None:
                    raise RuntimeError("the bridge returned in the middle of the response")
                more = message.get("more_body", False)
                if not more and self._next_message() is not None:
                    raise RuntimeError("the bridge sent a message after the end of the response")
                yield message.get("body", b"")
        finally:
            if not self._ended:
                self._break_off()

    # -- on the caller's thread

    def _break_off(self) -> None:
        """Go away, as a client that closes its connection, and let the application come to its end."""
        self._loop.call_soon_threadsafe(self._upload.go_away)
        if threading.get_ident() == self._thread:  # else the garbage collector calls, from anywhere
            if self._paused is not None:
                self._run(self._paused, more=False)
            while self._next_message() is not None:
                pass

    def _next_message(self) -> Message | None:
        """Return the next message that the bridge sends, or None when it is done."""
        while True:
            event = self._next_event()
            if isinstance(event, Job):
                self._run(event)
            elif isinstance(event, _End):
                self._ended = True
                if event.error is not None:
                    raise _as_raised(event.error)
                return None
            else:
                self._owed = self._owed and not event.get("body")
                return event

    def _next_event(self) -> Message | Job | _End:
        """Return what comes out of the bridge, or the job that must go on for that."""
        job = None if self._owed else self._paused
        try:
            return self._events.get(block=job is None, timeout=_PATIENCE)
        except Empty:
            if job is None:
                raise TimeoutError("the bridge has not answered") from None
            return job

    def _run(self, job: Job, *, more: bool = True) -> None:
        job.parent = getcurrent()
        job.switch(more)
        self._paused = None if job.dead else job
        self._owed = not job.dead  # it pauses behind a chunk

    # -- on the loop

    def submit(self, job: Job) -> None:
        """Take *job*; see ``bridge.Caller``."""
        self._events.put(job)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._serve())

    async def _serve(self) -> None:
        caller.set(self)
        error: BaseException | None = None
        try:
            await self._bridge(self._scope, self._upload.receive, self._send)
        except BaseException as raised:
            error = raised
        self._upload.rewind()
        self._events.put(_End(error))

    async def _send(self, message: Message) -> None:
        self._events.put(message)
        # An endless stream would keep the loop from seeing the client go.
        await asyncio.sleep(0)


def _status_line(code: int) -> str:
    """Return the status as Werkzeug writes it: an application's own phrase can't travel through ASGI."""
    return Response(status=code).status


def _as_raised(error: BaseException) -> BaseException:
    """Return what the application raised: of what would stop a loop, the bridge only says so."""
    cause = error.__cause__
    return error if cause is None or isinstance(cause, Exception) else cause
