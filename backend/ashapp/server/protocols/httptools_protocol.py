# SPDX-License-Identifier: MIT
"""HTTP/1.1 by httptools, within limits."""

from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ashapp.server.protocols.head import VERSIONS, check_size
from ashapp.server.protocols.lean_event import LeanEvent
from ashapp.server.protocols.limited import Limited
from ashapp.server.protocols.limits import ConnectionLimits
from ashapp.server.protocols.refusal import Refusal
from ashapp.server.protocols.target import in_origin_form

__all__ = ["LimitedHttpToolsProtocol"]

# Requests that a client may send without waiting for the response to the one that is being served.
_MAX_PIPELINED = 100

# Of a field: the colon, the space and the end of the line.
_PUNCTUATION = 4

_SLASH = ord("/")


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where trailer fields go: uvicorn would add them to the headers of a request that has been begun."""

    def append(self, field: tuple[bytes, bytes], /) -> None:
        pass


_NOWHERE = _Nowhere()

# Shared by all connections on which no request waits for another: see `LeanEvent`.
_NO_PIPELINE: deque[Any] = deque()


class LimitedHttpToolsProtocol(Limited, HttpToolsProtocol):
    """uvicorn's, with the limits of *limits*.

    Most requests come whole in one piece that is smaller than a head may be: then nothing is counted.
    """

    __slots__ = ("_barren", "_barren_cycle", "_body_at", "_head_scope", "_head_size", "_piece", "_served")

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        self.pipeline = _NO_PIPELINE
        self._piece = self._head_size = self._barren = 0
        self._body_at = -1
        self._head_scope: object = None
        self._barren_cycle: object = None
        #: The request that others on the connection wait for; uvicorn knows only the last one of these.
        self._served: Any = None

    def connection_made(self, transport: Any) -> None:
        """Begin to look after the connection too."""
        super().connection_made(self.limited_transport(transport))
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look after the connection no longer."""
        self.end()
        super().connection_lost(exc)
        if self._served is not None and not self._served.response_complete:
            self._served.disconnected = True
            self._served.message_event.set()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to uvicorn's protocol for WebSocket."""
        self.end()
        super().handle_websocket_upgrade()

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received; see `Limited`."""
        # Each request has a scope of its own, from its first byte on.
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def data_received(self, data: bytes) -> None:
        """Take in *data* as uvicorn does, within the limits."""
        if self.refusal is not None:
            return
        self._piece = len(data)
        self.received += self._piece
        earlier = self.cycle
        try:
            self.parser.feed_data(data)
            cycle = self.cycle
            if cycle is None or cycle.scope is not self.scope:
                self._check_unfinished_head(is_all=cycle is earlier and self._body_at != self.received)
            elif cycle.more_body:
                self._check_unfinished_body(cycle)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._unsupported_upgrade_warning()
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refusal) else _not_valid(error))
        except Refusal as refusal:
            self._refuse(refusal)

    def on_headers_complete(self) -> None:
        """Begin to serve the request if its head is within the limits."""
        limits = self.limits
        headers = self.headers
        head = self._head_size if self._head_scope is self.scope else 0
        if head + self._piece > limits.head or len(headers) > limits.fields or len(self.url) > limits.target:
            check_size(len(self.url), len(headers), self._known_size(), limits)
        if not headers or headers[0][0] != b"host":
            self._check_host()
        if self.url[0] != _SLASH:
            self.url, headers[:] = in_origin_form(self.url, headers)
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise Refusal(503, f"More than {_MAX_PIPELINED} requests wait on this connection.")
        previous = self.cycle
        if self.pipeline is _NO_PIPELINE and previous is not None and not previous.response_complete:
            self.pipeline = deque()
        super().on_headers_complete()
        if len(self.pipeline) == 1 and self.pipeline[0][0] is not previous:
            self._served = previous
        if self.cycle is not None and self.cycle.scope is self.scope:
            # Where tasks begin at once, the application may wait already.
            self.cycle.message_event = LeanEvent.instead_of(self.cycle.message_event)
            self.headers = _NOWHERE

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body."""
        self._body_at = self.received
        super().on_body(body)

    def on_response_complete(self) -> None:
        """Go on with the next request that has been received, or wait for one.

        For a connection that stays idle there is the sweeper, in place of a timer for each response.
        """
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._served, application = self.pipeline.pop()
            self._start_asgi_task(self._served, application)
        elif self.refusal is not None:
            self.answer(self.refusal)

    def leaves_queue(self, cycle: Any) -> bool:
        """Take *cycle* out of those that wait for their turn; see `Limited`."""
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return True
        return False

    def _check_unfinished_head(self, *, is_all: bool) -> None:
        if self.scope is None:  # empty lines before the first request
            return
        if self._head_scope is self.scope:
            self._head_size += self._piece
        else:  # it begins somewhere in this piece
            self._head_scope = self.scope
            self._head_size = self._piece if is_all else self._known_size()
        check_size(len(self.url), len(self.headers), self._head_size, self.limits)

    def _known_size(self) -> int:
        fields = sum(len(name) + len(value) + _PUNCTUATION for name, value in self.headers)
        return len(self.url) + fields

    def _refuse(self, refusal: Refusal) -> None:
        self.refuse(refusal, of_head=self.head_has_begun)

    def _check_unfinished_body(self, cycle: object) -> None:
        # What is no body is chunk extensions, or trailer fields: the parser keeps one until it is complete.
        if self._body_at == self.received or self._barren_cycle is not cycle:
            self._barren = 0
        else:
            self._barren += self._piece
        self._barren_cycle = cycle
        if self._barren > self.limits.head:
            raise Refusal(431, f"The trailer of the request is longer than {self.limits.head} bytes.")

    def _check_host(self) -> None:
        if any(name == b"host" for name, _ in self.headers):
            return
        version = self.parser.get_http_version()
        if version == "1.1":  # RFC 9112, 3.2
            raise Refusal(400, "The request has no Host field.")
        if version != "1.0":
            raise Refusal(505, VERSIONS)


def _not_valid(error: httptools.HttpParserError) -> Refusal:
    why = "" if isinstance(error, httptools.HttpParserCallbackError) else f": {error}"
    return Refusal(400, f"The request is not valid HTTP/1.1{why}.")
