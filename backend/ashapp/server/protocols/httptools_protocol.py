# SPDX-License-Identifier: MIT
"""HTTP/1.1 by httptools, within limits.

Where a request asks for another protocol, llhttp takes it to end with its head, and what follows for that
protocol. For one that is not taken that is wrong: then the head is parsed again without its Upgrade, so that
the body of the request is read as one.
"""

from collections import deque
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ashapp.bridge.messages.upgrades import IGNORED
from ashapp.server.protocols.close_delimited import CloseDelimitedCycle
from ashapp.server.protocols.connection.lean_event import LeanEvent
from ashapp.server.protocols.limited import Limited
from ashapp.server.protocols.messages.default_headers import respect_own_fields
from ashapp.server.protocols.messages.head import VERSIONS, check_size
from ashapp.server.protocols.messages.limits import ConnectionLimits
from ashapp.server.protocols.messages.refusal import Refusal
from ashapp.server.protocols.messages.target import Fields, in_origin_form
from ashapp.server.protocols.messages.upgrade import check_nothing_follows, is_handshake, refuse_connect

__all__ = ["LimitedHttpToolsProtocol"]

# Requests that a client may send without waiting for the response to the one that is being served.
_MAX_PIPELINED = 100

# Of a field: the colon, the space and the end of the line.
_PUNCTUATION = 4

_SLASH = ord("/")

# What llhttp says of versions that it does not know, and of the preface of HTTP/2.
_OTHER_VERSIONS = frozenset({"Invalid HTTP version", "Pause on PRI/Upgrade"})


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

    __slots__ = (
        "_barren",
        "_barren_cycle",
        "_body_at",
        "_head_scope",
        "_head_size",
        "_is_handshake",
        "_piece",
        "_served",
        "_untaken",
    )

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        self.pipeline = _NO_PIPELINE
        self._piece = self._head_size = self._barren = 0
        self._body_at = -1
        self._head_scope: object = None
        self._barren_cycle: object = None
        #: The request that others on the connection wait for; uvicorn knows only the last one of these.
        self._served: Any = None
        self._is_handshake = False
        #: The fields of a request whose upgrade is not taken, while its head is parsed again.
        self._untaken: Fields | None = None

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
        self.watch_upgraded()

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received; see `Limited`."""
        # Each request has a scope of its own, from its first byte on.
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def take(self, data: bytes) -> None:
        """Take in *data* as uvicorn does, within the limits."""
        if self.refusal is not None:
            return
        self._piece = len(data)
        self.received += self._piece
        earlier = self.cycle
        try:
            end = self._parse(data)
            if end is not None and not self._go_on(data, end):
                return
            cycle = self.cycle
            if cycle is None or cycle.scope is not self.scope:
                self._check_unfinished_head(is_all=cycle is earlier and self._body_at != self.received)
            elif cycle.more_body:
                self._check_unfinished_body(cycle)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refusal) else _not_valid(error))
        except Refusal as refusal:
            self._refuse(refusal)

    def on_headers_complete(self) -> None:
        """Begin to serve the request if its head is within the limits."""
        self._check_head()
        headers = self.headers
        upgrades = self.parser.should_upgrade()
        if upgrades:
            refuse_connect(self.parser.get_method())
        if self.url[0] != _SLASH:
            self.url, headers[:] = in_origin_form(self.url, headers)
        if upgrades and not self._takes_upgrade():
            self._untaken = headers
            return
        if self._untaken is not None:
            headers[:] = self._untaken
            self._untaken = None
            self.scope[IGNORED] = True  # type: ignore[literal-required]
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise Refusal(503, f"More than {_MAX_PIPELINED} requests wait on this connection.")
        if type(self.server_state.default_headers) is list:  # uvicorn makes a new one each second
            respect_own_fields(self.server_state)
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

    def on_message_complete(self) -> None:
        """Take note that the body is complete."""
        cycle = self.cycle
        # With an upgrade, it is no more than the end of a head.
        if not self.parser.should_upgrade() and not cycle.response_complete:
            cycle.more_body = False
            cycle.message_event.set()

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

    @property
    def served(self) -> Any:
        """The request that is being served; uvicorn's ``cycle`` may be one that waits for its turn."""
        return self.cycle if self._served is None or self._served.response_complete else self._served

    def leaves_queue(self, cycle: Any) -> bool:
        """Take *cycle* out of those that wait for their turn; see `Limited`."""
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
            return True
        return False

    def _parse(self, data: bytes | memoryview) -> int | None:
        """Parse *data*; return where a head that asks for another protocol has ended, if one has."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            end: int = upgrade.args[0]
            return end
        return None

    def _go_on(self, data: bytes, end: int | None) -> bool:
        """Parse what follows the *end* of such a head; return False if the other protocol is taken."""
        rest = memoryview(data)
        while end is not None:
            rest = rest[end:]
            if self._is_handshake:
                check_nothing_follows(rest)
                self.handle_websocket_upgrade()
                return False
            head = self._head_without_upgrade()
            # The old one has ended for good, where the request is to be the last one of the connection.
            self.parser = _new_parser(self)
            self._parse(head)
            end = self._parse(rest) if rest else None
        return True

    def _takes_upgrade(self) -> bool:
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if self.ws_protocol_class is None or not is_handshake(method, version, self.headers):
            return False
        if self.cycle is not None and not self.cycle.response_complete:
            raise Refusal(400, "A WebSocket handshake must wait for the answers to earlier requests.")
        self._is_handshake = True
        return True

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        version = cycle.scope["http_version"]
        if version != "1.1":
            if version == "1.0":
                cycle.waiting_for_100_continue = False  # RFC 9110, 10.1.1
                cycle.__class__ = CloseDelimitedCycle
            else:
                app = Refusal(505, VERSIONS)
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return self._is_handshake

    def _head_without_upgrade(self) -> bytes:
        line = b"%s %s HTTP/%s\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"".join([line, *fields, b"\r\n"])

    def _check_head(self) -> None:
        limits = self.limits
        headers = self.headers
        head = self._head_size if self._head_scope is self.scope else 0
        if head + self._piece > limits.head or len(headers) > limits.fields or len(self.url) > limits.target:
            check_size(len(self.url), len(headers), self._known_size(), limits)
        if not headers or headers[0][0] != b"host":
            self._check_host()

    def _check_host(self) -> None:
        if any(name == b"host" for name, _ in self.headers):
            return
        version = self.parser.get_http_version()
        if version == "1.1":  # RFC 9112, 3.2
            raise Refusal(400, "The request has no Host field.")
        if version != "1.0":
            raise Refusal(505, VERSIONS)

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


def _new_parser(protocol: HttpToolsProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # As uvicorn has it: what follows the last request of a connection is no reason not to answer that.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _not_valid(error: httptools.HttpParserError) -> Refusal:
    if str(error) in _OTHER_VERSIONS:
        return Refusal(505, VERSIONS)
    why = "" if isinstance(error, httptools.HttpParserCallbackError) else f": {error}"
    return Refusal(400, f"The request is not valid HTTP/1.1{why}.")
