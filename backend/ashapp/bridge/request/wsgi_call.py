# SPDX-License-Identifier: MIT
"""One HTTP request and its response: the part that both forms of a call share.

Theory of operation. The application runs in one ``contextvars.Context`` that is made for this request. So no
request sees values of another, whatever the server does with its own tasks. There are two forms:
``ThreadCall`` runs the application on a worker thread, ``LoopCall`` in a greenlet on the loop. ``WsgiOutput``
turns the response into messages for both.

A call has a ``Phase``. When its response is not wanted any more (``_give_up``), the application is cancelled
where it waits: at once if the phase allows it, else when a phase begins that does. Each phase is interrupted
only once, so that the application can clean up after that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, ClassVar

from werkzeug.exceptions import RequestEntityTooLarge

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.concurrency.context import body_may_block
from ashapp.bridge.concurrency.futures import as_exception, turn
from ashapp.bridge.messages.environ import expects_continue
from ashapp.bridge.messages.errors import ClientDisconnected, RequestRejected
from ashapp.bridge.messages.exchange import Exchange
from ashapp.bridge.messages.response import Response
from ashapp.bridge.messages.types import INFO, Environ, Message, RequestInfo, Send
from ashapp.bridge.request.output_queue import HIGH_WATER, PIECE
from ashapp.bridge.request.phases import Ending, Phase
from ashapp.bridge.request.service import Service
from ashapp.bridge.request.uploads.input_stream import InputStream
from ashapp.bridge.request.wsgi_output import WsgiOutput, log_late_failure

__all__ = ["WsgiCall"]

# After this many messages in a row, other tasks have their turn: client and application may both be quick.
_TURN = 16

# Seconds until a request that waits begins to watch for its client: most are done by then.
_WATCH_DELAY = 0.2


class WsgiCall(WsgiOutput, Call):
    """The WSGI call of one request, by *service*, in *context*."""

    #: The place of the application, "loop" or "thread", as a middleware sees it.
    place: ClassVar[str]

    # ``__init__`` sets the attributes that most calls need, all others have defaults here. Instances of a
    # class share a layout of at most 30 attributes, which the first instances decide. An instance with
    # further ones gets a dict of its own, of up to 1,400 bytes.
    _ending = Ending.NONE
    _deadline_timer: asyncio.TimerHandle | None = None
    #: What is called when the application has done with the request.
    on_end: Callable[[], object] | None = None
    # Sends a complete response in one piece.
    _exchange: Exchange | None = None
    _send_to_client: Send
    _sent_messages = 0
    # The exception for the server, at the end.
    _failure: Exception | None = None

    def __init__(self, service: Service, environ: Environ, body: InputStream, context: Context) -> None:
        self.service = service
        self.application = service.application
        self.environ = environ
        self.body = body
        self.loop = body.loop
        self.context = context
        self.grace = service.grace
        timeout = service.request_timeout
        #: When the response must have begun, by the loop's clock.
        self.deadline = None if timeout is None else self.loop.time() + timeout
        self.info: RequestInfo | None = environ["asgi.scope"].get(INFO)
        self.phase = Phase.RUNNING
        #: Whether Flask has matched the request.
        self.matched = False
        self._response = Response(environ["REQUEST_METHOD"])
        self._interrupted = False
        self._watch_timer: asyncio.TimerHandle | None = None
        if body.announced:
            context.run(body_may_block.set, body.may_block)
        if self.info is not None:
            self.info.place = self.place
            context.run(self.info.bind)

    def __str__(self) -> str:
        return f"{self.environ['REQUEST_METHOD']} {self.environ['PATH_INFO']}"

    @property
    def is_complete(self) -> bool:
        """Whether the whole response has been made."""
        return self._response.complete

    # -- what each form does in its own way

    def submit(self) -> None:
        """Let it run as soon as there is a thread, if it needs one.

        Raises:
            RequestRejected: too many requests wait for a thread, or none can be started; the status is 503.
        """

    def begin(self, exchange: Exchange) -> bool:
        """Submit it, if that needs no task, and say whether it was submitted; see ``Exchange``."""
        self._exchange = exchange
        return False

    def respond(self, send: Send) -> Awaitable[None]:
        """Send the response that the application makes, and return when it has done with the request.

        Raises:
            RequestTimeout: the time was up before the response began.
            Exception: what the application raised and no response tells the client of.
        """
        raise NotImplementedError

    def _cancel(self) -> bool:
        """Cancel the application where it waits, and say whether it waited. On the loop."""
        raise NotImplementedError

    def _expire(self) -> None:
        """Answer with 504, unless the response has begun. On the loop."""

    # -- its response, on the loop

    def _answers(self, exchange: Exchange, head: Message, body: bytes) -> bool:
        """Send a complete response by *exchange*, if that can be done at once; say whether it was."""
        return len(body) <= HIGH_WATER and not self._response.remaining and exchange.answer(head, body)

    async def _send_head(self, head: Message, body: bytes | None = None) -> None:
        """Send *head*, and *body* if all of it is there."""
        if self.body.share is not None:
            self.body.share.settle()
        await self._send_to_client(head)
        if body is None:
            return
        if len(body) > PIECE:
            await self._send_body(body, more=False)
        else:
            await self._send_to_client({"type": "http.response.body", "body": body, "more_body": False})

    async def _send_body(self, chunk: bytes, *, more: bool) -> None:
        """Send *chunk* in parts that a server may have at once, and let other tasks run now and then."""
        for start in range(0, len(chunk) or 1, PIECE):
            if start:
                await turn()  # the client may be quick
            end = start + PIECE
            part, more_body = chunk[start:end], more or end < len(chunk)
            await self._send_to_client({"type": "http.response.body", "body": part, "more_body": more_body})
        if more:
            self._sent_messages += 1
            if self._sent_messages % _TURN == 0:
                await turn()

    async def _deliver(self, sending: Awaitable[None]) -> None:
        """Await *sending*, and take note of a client that has gone.

        Raises:
            Exception: what the server raises. If the body is too short, it closes the connection without
                being told, unless it takes the response to be complete.
        """
        try:
            await sending
        except OSError:  # ASGI 2.4
            self._give_up(Ending.CLIENT_GONE)
        except Exception as refusal:
            if not (self._response.complete and self._response.remaining):
                raise
            try:
                await self._send_to_client({"type": "http.response.body", "body": b"", "more_body": True})
            except Exception:
                raise refusal from None

    # -- its end, on the loop

    def note_route(self) -> None:
        """Note the route of a request that was given up, if Flask has not matched it yet."""
        if self.info is not None and self.info.route is None:
            self.service.note_route(self.info, self.environ)

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call *callback*, in place of an earlier one, when the application has done with the request."""
        self.on_end = callback
        if self.phase is Phase.ENDED:
            self._tell_end()

    def leave(self) -> None:
        """Count one request less; if it was given up, note its route."""
        if not self._response.complete:
            self.note_route()
        self.service.admission.leave()

    def _tell_end(self) -> None:
        on_end, self.on_end = self.on_end, None  # which may lead to the call
        if on_end is not None:
            on_end()

    def _set_deadline(self) -> None:
        if self.deadline is not None and self._deadline_timer is None:
            self._deadline_timer = self.loop.call_at(self.deadline, self._expire)

    def _watch_later(self) -> None:
        self._watch_timer = self.loop.call_later(_WATCH_DELAY, self._watch)

    def _watch(self) -> None:
        self._watch_timer = None
        if self._response.sealed:
            return  # a stream is watched from its first byte, and else there is nothing to save
        if expects_continue(self.environ) and not self.body.started:
            self._watch_later()  # to look for a disconnect would ask for the body (see ``RequestBody``)
        else:
            self.body.watch(self._disconnect)

    def _stop_timers(self) -> None:
        if self._watch_timer is not None:
            self._watch_timer.cancel()
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()

    def _disconnect(self) -> None:
        self._give_up(Ending.CLIENT_GONE)

    def _give_up(self, ending: Ending) -> None:
        """Take note that nobody wants the response any more."""
        self._ending = max(self._ending, ending)
        self._interrupt()

    def _interrupt(self) -> None:
        """Cancel the application where it waits, if it is to end and may be cancelled."""
        if self._ending and self.phase.may_be_cancelled and not self._interrupted:
            self._interrupted = True  # before what is cancelled can end, on another thread
            self._interrupted = self._cancel()

    def _raise_failure(self, failure: Exception) -> None:
        self._failure = None
        try:
            raise failure
        finally:
            del failure  # its traceback leads to this frame

    # -- where the application runs

    def tear_down(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call *function*, which must not be interrupted; then act on an early end that came meanwhile."""
        outer, self.phase = self.phase, Phase.TEARING_DOWN
        try:
            return function(*args, **kwargs)
        finally:
            self.phase = outer
            if self._ending:
                self._cross(self._interrupt)

    def disown(self, way_back: Any) -> None:
        """Belong to the process that has forked this one, also where the application ends; see ``Call``."""
        self.loop = way_back
        self.send_all = self._send = self._fail = way_back.switch  # type: ignore[method-assign]

    def _check_wanted(self) -> None:
        """Raise ``ClientDisconnected`` if nobody wants the response any more."""
        if self._ending:
            raise ClientDisconnected("the client went away, or its request was given up")

    def _fail(self, error: BaseException) -> None:
        """Take note of *error*, which the application has raised: the server or the log may have to know."""
        if isinstance(error, ClientDisconnected):
            return
        error = as_exception(error)
        if self._response.complete or self._ending is Ending.TIMED_OUT:
            log_late_failure(error)
        elif isinstance(error, RequestEntityTooLarge) and not self._response.sealed:
            # An application that knows it would have answered.
            self._failure = RequestRejected(413, "The request body is longer than this service accepts.")
        else:
            self._failure = error

    def _cross(self, callback: Callable[..., object], *args: object) -> bool:
        """Call *callback* on the loop. From any thread. Say whether the loop is still there."""
        try:
            # In the server's context: what follows may be the next request of the connection.
            self.loop.call_soon_threadsafe(callback, *args, context=self.service.tasks.startup_context)
        except RuntimeError:  # it has been closed, and nobody is left to be told
            return False
        return True
