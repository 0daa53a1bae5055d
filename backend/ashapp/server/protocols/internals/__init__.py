# SPDX-License-Identifier: MIT
"""Internals of uvicorn, h11 and asyncio that are used or replaced. `REACHED` lists all of them.

Their private names are used in this folder only. A test goes through the table, and names each entry that a
new version has changed.
"""

import asyncio
from typing import Any, NamedTuple

from uvicorn.protocols.http.flow_control import FlowControl

from ashapp.bridge.concurrency.futures import resolve

__all__ = ["REACHED", "TESTED", "HeldFlow", "LeanEvent", "LeanQueue", "Reached"]

#: The versions that the tests have run with, the first and the last.
TESTED = {"uvicorn": ("0.53.0", "0.54.0"), "h11": ("0.16.0", "0.16.0"), "httptools": ("0.6.4", "0.9.0")}


class Reached(NamedTuple):
    """Names of a library that it does not promise to keep; a method has its parameters in parentheses."""

    owner: str
    names: str
    why: str
    issue: str = ""


_FLOW = "uvicorn.protocols.http.flow_control:FlowControl"
_H11 = "uvicorn.protocols.http.h11_impl:"
_HTTPTOOLS = "uvicorn.protocols.http.httptools_impl:"
_WEBSOCKET = "uvicorn.protocols.websockets.websockets_sansio_impl:WebSocketsSansIOProtocol"
_STATE = "cycle connections server_state transport flow scope app client config loop ws_protocol_class"
_CYCLE = "transport message_event default_headers more_body waiting_for_100_continue response_started"
_LIMITS = ("limits for a head, and for the time of each phase", "encode/uvicorn#157")
_UPGRADES = ("an upgrade that is not taken changes nothing", "encode/uvicorn#2722")

REACHED = (
    Reached(_FLOW, "_transport read_paused resume_reading()", "nothing is read while a backlog is taken in"),
    Reached(_FLOW, "_is_writable_event", "an event without a deque"),
    Reached("asyncio:Event", "_value _waiters", "an event without a deque"),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", f"{_STATE} url headers on_headers_complete()", *_LIMITS),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", "on_body(body) on_message_complete()", *_LIMITS),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", "parser handle_websocket_upgrade()", *_UPGRADES),
    Reached(
        _HTTPTOOLS + "HttpToolsProtocol",
        "pipeline connection_lost(exc)",
        "the request that is being served learns of the end",
    ),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", "on_response_complete()", "no timer for each response"),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", "expect_100_continue", "no interim response for HTTP/1.0"),
    Reached(_HTTPTOOLS + "RequestResponseCycle", f"{_CYCLE} response_complete disconnected", *_LIMITS),
    Reached(
        _HTTPTOOLS + "RequestResponseCycle",
        "run_asgi(app) receive() send_500_response() body flow keep_alive logger on_response",
        "fields of responses are looked at together",
    ),
    Reached(_HTTPTOOLS + "HttpToolsProtocol", "_start_asgi_task(cycle, app) root_path access_log", *_LIMITS),
    Reached(_H11 + "H11Protocol", f"{_STATE} conn send_400_response(msg)", *_LIMITS),
    Reached(_H11 + "H11Protocol", "_should_upgrade() handle_websocket_upgrade(event)", *_UPGRADES),
    Reached(
        _H11 + "H11Protocol", "on_response_complete() timeout_keep_alive_task", "no timer for each response"
    ),
    Reached(_H11 + "H11Protocol", "shutdown()", "h11 knows nothing of a refusal that has been sent"),
    Reached(_H11 + "RequestResponseCycle", f"{_CYCLE} response_complete disconnected", *_LIMITS),
    Reached(
        _WEBSOCKET,
        "handshake_initiated conn",
        "an answer to a handshake that can't be read",
    ),
    Reached(
        _WEBSOCKET,
        "queue writable loop transport read_paused disconnected close_sent handshake_complete"
        " initial_response frames curr_msg_data_type receive() send(message) send_receive_event_to_app()"
        " handle_parser_exception() connection_lost(exc)",
        "less to do for each message; a close between the fragments of one; 1006 for a client that vanishes",
    ),
    Reached(
        _WEBSOCKET,
        "handshake_initiated close_timer pong_timer data_received(data) handle_events() handle_cont(event)"
        " handle_ping() resume_writing() send_keepalive_ping() keepalive_timeout() schedule_ping()"
        " stop_keepalive() shutdown()",
        "bounds for what a client may send, and a close that it reads",
    ),
    Reached("uvicorn.server:ServerState", "default_headers total_requests", "no field twice"),
    Reached("uvicorn.config:Config", "encoded_headers", "responses tell of the end of their connections"),
    Reached(
        "uvicorn.server:Server",
        "run(sockets) startup(sockets) shutdown(sockets) main_loop() on_tick(counter)"
        " capture_signals()"
        " handle_exit(sig, frame) servers started should_exit lifespan server_state",
        "an end that loses no request",
    ),
    Reached("uvicorn.lifespan.on:LifespanOn", "should_exit startup_failed state", "an end during the start"),
    Reached("h11:Connection", "_receive_buffer", "empty lines before a request (RFC 9112, 2.2)"),
    Reached("h11:Connection", "_get_io_object(role, event, io_dict)", "chunks are read as strictly as heads"),
    Reached("h11._readers:ChunkedReader", "__call__(buf)", "chunks are read as strictly as heads"),
    Reached(
        "h11._receivebuffer:ReceiveBuffer",
        "maybe_extract_at_most(count) maybe_extract_next_line() maybe_extract_lines()",
        "chunks are read as strictly as heads",
    ),
)


class LeanEvent(asyncio.Event):
    """An event without a deque: uvicorn has two for each connection, and an empty deque takes 600 bytes."""

    def __init__(self, *, is_set: bool = False) -> None:
        self._value = is_set
        self._waiters = []  # type: ignore[assignment]  # has all that is asked of a deque


class LeanQueue:
    """A queue of events without a bound, and without the four deques of asyncio's."""

    __slots__ = ("_loop", "events", "waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.events: list[Any] = []
        #: Called when there is an event.
        self.waiters: list[asyncio.Future[None]] = []

    def put_nowait(self, event: Any) -> None:
        """Add *event*."""
        self.events.append(event)
        while self.waiters:
            resolve(self.waiters.pop())

    def wait(self) -> asyncio.Future[None]:
        """Return the callback for the next event."""
        waiter = self._loop.create_future()
        self.waiters.append(waiter)
        return waiter


class HeldFlow(FlowControl):
    """uvicorn's flow control, which can also be held: then nothing is read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._is_writable_event = LeanEvent(is_set=True)
        self.held = False

    def hold(self) -> None:
        """Read no more, whoever else may want to."""
        self.held = True
        self._transport.pause_reading()

    def release(self) -> None:
        """Read on, unless uvicorn has paused it."""
        self.held = False
        if not self.read_paused and not self._transport.is_closing():
            self._transport.resume_reading()

    def resume_reading(self) -> None:
        """Read on, unless it is held."""
        if self.held:
            self.read_paused = False
        else:
            super().resume_reading()
