# SPDX-License-Identifier: MIT
"""`Observer`: the ASGI middleware that makes an observation of each request or WebSocket and tells the sinks.

Theory of operation. One object per request does all. The bridge notes facts on the `Observation`, and the
application gets its method ``send`` in place of the server's, without a coroutine in between. If the server's
``send`` is a method of an object that ``takes_note``, it stays, and the attribute ``observation`` of that
object is set. The observation is the ``current`` one in the server's task too, for what the layers around the
bridge log. It stays so when the request is done, because the server logs what came out of it after that. The
next request of a connection sets its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ashapp.observe.observation import INFO, ManySink, Observation, Scope, Sink, current
from ashapp.observe.socket_observation import SocketObservation

__all__ = ["Observer"]

_log = logging.getLogger("ashapp.observe")

# Seconds between logged failures: a sink that always fails must not fill the log.
_PAUSE = 10.0
# Seconds between flushes of the sinks: 200 a second cost next to nothing.
_PERIOD = 0.005


class Observer:
    """An ASGI application around *app* that observes its requests and WebSockets and tells *sinks* of them.

    What a sink raises is logged, once in ten seconds; the request goes on. Other scopes are passed through.

    If the server cancels a request, as at its end, uvicorn takes that for an error of the application, and
    logs the traceback. With *answer_cancelled* it is none. That is called with ``send`` and returns a
    coroutine which answers, for use if no response has begun; or None if the server cancels nothing, as a
    view may cancel itself. A stream is cut without an error, and a WebSocket has been closed by then.
    """

    def __init__(
        self,
        app: Callable[[Scope, Any, Any], Awaitable[None]],
        sinks: Iterable[Sink | ManySink] = (),
        *,
        answer_cancelled: Callable[[], Callable[[Any], Awaitable[None]] | None] = lambda: None,
    ) -> None:
        self.app = app
        self._answer_cancelled = answer_cancelled
        sinks = tuple(sinks)
        self._beginners: list[Sink] = [sink.begin for sink in sinks if hasattr(sink, "begin")]
        self._sinks = [sink for sink in sinks if callable(sink)]
        many = [sink for sink in sinks if not callable(sink)]
        self._puts = [sink.put for sink in many]
        self._flushes = [sink.flush for sink in many]
        self._soon = _Soon(self._flush)
        self._failed_at: dict[Callable[..., object], float] = {}

    def __call__(self, scope: Scope, receive: Any, send: Any) -> Awaitable[None]:
        """Observe a request or a WebSocket, or pass everything else on."""
        kind = scope["type"]
        takes_note = _takes_note(send)
        if kind == "http":
            observation = self._begin(Observation(scope, send, self._finish))
        elif kind == "websocket":
            socket = SocketObservation(scope, receive, send, self._finish)
            observation = self._begin(socket)
            if not takes_note:
                receive = socket.receive
        else:
            return self.app(scope, receive, send)
        if takes_note:
            send.__self__.observation = observation
        else:
            send = observation.send
        return self.complete(observation, self.app(scope, receive, send), send)

    def begin(self, exchange: Any) -> Awaitable[None] | None:
        """Observe a request without a task. Return what a task must await, or None.

        *exchange* is given by a server and taken by an application that know it; see ``Exchange``.
        """
        observation = self._begin(Observation(exchange.scope, exchange.send, self._finish))
        exchange.observation = observation
        rest = self.app.begin(exchange)  # type: ignore[attr-defined]
        return None if rest is None else self.complete(observation, rest, exchange.send)

    def _begin(self, observation: Observation) -> Observation:
        observation.scope[INFO] = observation
        for begin in self._beginners:
            try:
                begin(observation)
            except Exception:
                self._note_failure(begin)
        return observation

    async def complete(self, observation: Observation, rest: Awaitable[None], send: Any) -> None:
        """Await *rest*, and note its outcome."""
        current.set(observation)
        try:
            await rest
        except BaseException as error:
            answer = self._answer_cancelled() if _is_cancelled(error) else None
            if answer is not None and observation.status is None and observation.scope["type"] == "http":
                await answer(send)
            if not observation.ended:
                observation.error, observation.cut = (error, False) if answer is None else (None, True)
                # The server's answer to an exception (uvicorn: 500), unless the response has begun.
                observation.status = observation.status or 500
                observation.end()
            if answer is None:
                raise
        else:
            observation.conclude()
        finally:
            observation.release()
            if _takes_note(send):
                send.__self__.observation = None

    def _finish(self, observation: Observation) -> None:
        if self._puts:
            for put in self._puts:
                put(observation)
            self._soon.ask()
        for sink in self._sinks:
            try:
                sink(observation)
            except Exception:
                self._note_failure(sink)

    def _flush(self) -> None:
        for flush in self._flushes:
            try:
                flush()
            except Exception:
                self._note_failure(flush)

    def _note_failure(self, sink: Callable[..., object]) -> None:
        now = time.monotonic()
        if now - self._failed_at.get(sink, float("-inf")) >= _PAUSE:
            self._failed_at[sink] = now
            _log.exception("%r can't take note of a request", sink)


def _takes_note(send: Any) -> bool:
    """Say whether *send* is a method of an object that takes note for an observation."""
    return getattr(getattr(send, "__self__", None), "takes_note", False)


def _is_cancelled(error: BaseException) -> bool:
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


class _Soon:
    """Calls *function* once for many calls of ``ask``. On the loop.

    It is called at the end of the current round of the loop; if the last call was just before, some
    milliseconds later; and at once where no loop is running.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._asked_in: asyncio.AbstractEventLoop | None = None
        self._done_at = float("-inf")

    def ask(self) -> None:
        """Let it be called."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._call()
            return
        if self._asked_in is not loop:
            self._asked_in = loop
            if time.monotonic() - self._done_at < _PERIOD:
                loop.call_later(_PERIOD, self._call)
            else:
                loop.call_soon(self._call)

    def _call(self) -> None:
        # From now on, a request is for the next call.
        self._asked_in = None
        self._done_at = time.monotonic()
        self._function()
