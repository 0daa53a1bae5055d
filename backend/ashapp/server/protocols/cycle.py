# SPDX-License-Identifier: MIT
"""A request that httptools has parsed, and its response, on its way to the transport.

Theory of operation. uvicorn matches each field of a response with two patterns, and makes a new list of all
fields. Here all names are matched together, and all values. The server's own fields are made once a second
(see ``DefaultHeaders``).

A client of HTTP/1.0 knows no chunks: a body of unknown length ends with the connection (RFC 9112, 6.3). A
body that is cut off must not look complete. So the connection ends by a reset until all of the body is sent.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import (
    HEADER_RE,
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)
from uvicorn.protocols.utils import get_client_addr, get_path_with_query_string

from ashapp.server.protocols.internals import LeanEvent
from ashapp.server.protocols.responses import closes, end_by_reset

if TYPE_CHECKING:
    from ashapp.observe.observation import Observation

__all__ = ["Cycle"]

# Fields that tell where the response ends, and whether another may follow.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_BODILESS = frozenset({204, 304})


class Cycle(RequestResponseCycle):
    """uvicorn's, for a request with this *scope* on the connection of *protocol*."""

    takes_note = True

    #: Called if it needs a task after all; see ``Exchange``.
    need_task: Callable[[], None] | None = None
    #: Makes that task; None once there is one.
    protocol: Any = None
    # Attributes that most requests do not set: their defaults are in the class.
    disconnected = response_started = response_complete = False
    more_body = True
    body: Any = b""
    chunked_encoding: bool | None = None
    expected_content_length = 0
    #: Gets notes about the response; set by the observer.
    observation: "Observation | None" = None
    # Whether only the end of the connection tells where the body ends.
    _is_unframed = False
    _event: LeanEvent | None = None

    def __init__(self, protocol: Any, scope: Any, *, keep_alive: bool) -> None:
        self.scope = scope
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.access_logger = protocol.access_logger
        self.access_log = protocol.access_log
        self.default_headers = protocol.server_state.default_headers
        self.on_response = protocol.on_response_complete
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = protocol.expect_100_continue

    @property
    def message_event(self) -> LeanEvent:  # type: ignore[override]
        """The event that ``receive`` waits for. Most requests need none."""
        if self._event is None:
            has_news = bool(self.body) or not self.more_body or self.disconnected or self.response_complete
            self._event = LeanEvent(is_set=has_news)
        return self._event

    def tell(self) -> None:
        """Wake who receives."""
        if self._event is not None:
            self._event.set()

    async def send(self, message: Any) -> None:
        """Send *message*; see "Send Callable" of the ASGI specification for HTTP.

        Raises:
            RuntimeError: the message does not fit the state of the response, or the length of its body.
        """
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            if self.observation is not None:
                self.observation.note(message)
            return
        kind = message["type"]
        if self.response_complete:
            raise RuntimeError(f"Unexpected ASGI message {kind!r} sent, after response already completed.")
        expected = "http.response.body" if self.response_started else "http.response.start"
        if kind != expected:
            raise RuntimeError(f"Expected ASGI message {expected!r}, but got {kind!r}.")
        if self.response_started:
            more = message.get("more_body", False)
            self.transport.write(self._body(message.get("body", b""), more=more))
            if not more:
                self._complete()
        else:
            self.response_started = True
            self.waiting_for_100_continue = False
            self.transport.write(self._head(message["status"], _checked(message.get("headers", ()))))

    def answer(self, head: Any, body: bytes) -> bool:
        """Send a whole response, if that can be done at once; see ``Exchange``."""
        if self.disconnected or self.flow.write_paused or self.response_started:
            return False
        self.response_started = True
        self.waiting_for_100_continue = False
        self.transport.write(self._head(head["status"], head["headers"]) + self._body(body, more=False))
        self._complete()
        self.protocol = None
        self.on_response = _done
        if self.observation is not None:
            self.observation.release()
            self.observation = None
        return True

    def go_on(self, rest: Any) -> None:
        """Await *rest* in a task; see ``Exchange``."""
        protocol: Any = self.protocol
        if self.observation is not None:
            rest = protocol.app.complete(self.observation, rest, self.send)
        protocol.start_task(self, rest)

    def _head(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        if self.access_log:
            self._log(status)
        if self.observation is not None:
            self.observation.note_head(status, fields)
        defaults: Any = self.default_headers
        says_close = defaults.says_close
        content = [STATUS_LINE[status], defaults.block_beside(fields)]
        for name, value in fields:
            if name in _FRAMING:
                if name == b"connection":
                    says_close = says_close or closes(value)
                elif not self._note_framing(name, value):
                    continue
            content += (name, b": ", value, b"\r\n")
        if says_close:
            self.keep_alive = False
        elif not self.keep_alive:
            content.append(b"connection: close\r\n")
        if self.chunked_encoding is None and status not in _BODILESS and self.scope["method"] != "HEAD":
            content.append(self._end_without_length())
        content.append(b"\r\n")
        return b"".join(content)

    def _note_framing(self, name: bytes, value: bytes) -> bool:
        """Learn from a field how the body is framed; return whether to send the field."""
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.expected_content_length = int(value)
                self.chunked_encoding = False
        elif self.scope["http_version"] == "1.0":
            return False
        elif value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        return True

    def _end_without_length(self) -> bytes:
        """Choose how a body of unknown length ends, and return the field for that."""
        if self.scope["http_version"] == "1.0":
            self.chunked_encoding, self._is_unframed = False, True
            end_by_reset(self.transport, is_cut=True)
            return b""
        self.chunked_encoding = True
        return b"transfer-encoding: chunked\r\n"

    def _body(self, body: bytes, *, more: bool) -> bytes:
        """Count a part of the body, and return it as it is to be written."""
        if self.observation is not None:
            self.observation.note_body(len(body), more=more)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            return b""
        if self.chunked_encoding:
            end = b"" if more else b"0\r\n\r\n"
            return b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end
        if not self._is_unframed:
            if len(body) > self.expected_content_length:
                raise RuntimeError("Response content longer than Content-Length")
            self.expected_content_length -= len(body)
        return body

    def _complete(self) -> None:
        if self.expected_content_length != 0:
            raise RuntimeError("Response content shorter than Content-Length")
        if self._is_unframed:
            end_by_reset(self.transport, is_cut=False)
        self.response_complete = True
        self.tell()
        if not (self.keep_alive or self.more_body):
            self.transport.close()
        self.on_response()

    def _log(self, status: int) -> None:
        scope = self.scope
        self.access_logger.info(
            '%s - "%s %s HTTP/%s" %d',
            get_client_addr(scope),
            scope["method"],
            get_path_with_query_string(scope),
            scope["http_version"],
            status,
        )


def _done() -> None:
    """Do nothing: the response is complete."""


def _checked(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return *headers* with names in lower case."""
    fields = [(name.lower(), value) for name, value in headers]
    if HEADER_RE.search(b"".join([name for name, _ in fields])):
        raise RuntimeError("Invalid HTTP header name.")
    if HEADER_VALUE_RE.search(b" ".join([value for _, value in fields])):
        raise RuntimeError("Invalid HTTP header value.")
    return fields
