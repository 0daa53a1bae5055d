# SPDX-License-Identifier: MIT
"""HTTP/1.1 by httptools, within limits.

If a request asks for another protocol, llhttp ends it with its head, and leaves the bytes behind to that
protocol. If the upgrade is not taken, that is wrong (encode/uvicorn#2722). Then the head is parsed again
without its Upgrade, so that the request keeps its body.
"""

from collections import deque
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ashapp.bridge.messages.upgrades import IGNORED
from ashapp.server.protocols import head
from ashapp.server.protocols.connection import LimitedProtocol
from ashapp.server.protocols.cycle import Cycle
from ashapp.server.protocols.limits import ConnectionLimits, Refusal
from ashapp.server.protocols.responses import respect_own_fields

__all__ = ["LimitedHttpToolsProtocol"]

# Requests that a client may send before it has the response to an earlier one.
_MAX_PIPELINED = 100

# Bytes of a field besides name and value: the colon, the space and the end of the line.
_PUNCTUATION = 4

# As numbers: bytes are searched for a number in a tenth of the time.
_SLASH, _QUESTION_MARK, _NUMBER_SIGN = b"/?#"

_VERSIONS = frozenset({"1.0", "1.1"})
# llhttp's errors for unknown versions, and for the preface of HTTP/2.
_OTHER_VERSIONS = frozenset({"Invalid HTTP version", "Pause on PRI/Upgrade"})


class LimitedHttpToolsProtocol(LimitedProtocol, HttpToolsProtocol):
    """uvicorn's, with the limits of *limits*.

    Most requests come whole in one piece that is smaller than a head may be: then nothing is counted.
    """

    __slots__ = ("_is_handshake", "_piece", "_progress_at", "_untaken", "served")

    def __init__(self, *, limits: ConnectionLimits, **options: Any) -> None:
        super().__init__(limits=limits, **options)
        self.pipeline: Any = ()  # until there is one: even an empty deque takes 600 bytes
        #: The request that others on the connection wait for; uvicorn only knows the last of those that wait.
        self.served: Any = None
        # Bytes: in the present piece; and received so far when a head, a part of a body or a request was last
        # complete.
        self._piece = self._progress_at = 0
        self._is_handshake = False
        # The fields of a request whose upgrade is not taken, while its head is parsed again.
        self._untaken: head.Fields | None = None

    @property
    def head_has_begun(self) -> bool:
        """Whether a part of a request's head has been received; see `LimitedProtocol`."""
        # Each request has a scope of its own, from its first byte on.
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that is being served of the end, too."""
        super().connection_lost(exc)
        if self.served is not None and not self.served.response_complete:
            self.served.disconnected = True
            self.served.tell()
            if self.served.need_task is not None:
                self.served.need_task()

    def take(self, data: bytes) -> None:
        """Take in *data* as uvicorn does, within the limits."""
        self._piece = len(data)
        self.received += self._piece
        try:
            self._parse(data)
        except httptools.HttpParserError as error:
            cause = error.__context__
            self.refuse(cause if isinstance(cause, Refusal) else _not_valid(error))
        except Refusal as refusal:
            self.refuse(refusal)

    def _parse(self, data: bytes) -> None:
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                rest = data[upgrade.args[0] :]
            else:
                self._check_unfinished()
                return
            if self._is_handshake:
                head.check_nothing_follows(rest)
                self.handle_websocket_upgrade()
                self.parser = None  # type: ignore[assignment]
                return
            data = self._head_without_upgrade() + rest
            # If the request is the last one of the connection, the old parser accepts no more.
            self.parser = _new_parser(self)

    def _head_without_upgrade(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        fields = [b"%s: %s\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        return b"%s %s HTTP/%s\r\n%s\r\n" % (method, self.url, version, b"".join(fields))

    # -- what the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take in a field as uvicorn does, but without white space behind its value (RFC 9110, 5.5)."""
        name, value = name.lower(), value.rstrip()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin to serve the request if its head is within the limits."""
        version = self.parser.get_http_version()
        self._check_head(version)
        upgrades = self.parser.should_upgrade()
        if upgrades or self.url[0] != _SLASH or _NUMBER_SIGN in self.url:
            self.url, self.headers[:] = head.in_origin_form(self.parser.get_method(), self.url, self.headers)
        if upgrades:
            self._take_or_ignore_upgrade(version)
            return
        if self._untaken is not None:
            self.headers[:] = self._untaken
            self._untaken = None
            self.scope[IGNORED] = True  # type: ignore[literal-required]
        keep_alive = self.parser.should_keep_alive()
        if version == "1.0":
            self.expect_100_continue = keep_alive = False  # RFC 9110, 10.1.1
            self.scope["http_version"] = version
        self._begin(keep_alive=keep_alive)

    def _begin(self, *, keep_alive: bool) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise Refusal(503, f"More than {_MAX_PIPELINED} requests wait on this connection.")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = self._split_url()
        respect_own_fields(self.server_state)
        earlier, self.cycle = self.cycle, Cycle(self, scope, keep_alive=keep_alive)
        self.headers = []  # trailer fields are no headers of a request that has been begun
        self._progress_at = self.received
        if earlier is None or earlier.response_complete:
            self.served = self.cycle
            self._start_asgi_task(self.cycle, self.app)
            return
        self.pipeline = self.pipeline or deque()
        self.flow.pause_reading()
        self.pipeline.appendleft((self.cycle, self.app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Serve the request of *cycle*: without a task, if the application can; see ``Exchange``."""
        if hasattr(app, "begin"):
            cycle.protocol = self
            self._beginnings.add(self._begin_exchange, cycle)
        else:
            super()._start_asgi_task(cycle, app)

    def _begin_exchange(self, cycle: Any) -> None:
        app: Any = self.app
        try:
            rest = app.begin(cycle)
        except Exception as error:
            rest = _fail(error)
        if rest is not None:
            self.start_task(cycle, rest)

    def start_task(self, cycle: Any, rest: Any) -> None:
        """Await *rest* in a task: the rest of the application's work for the request of *cycle*."""
        cycle.protocol = None
        super()._start_asgi_task(cycle, lambda *_: rest)

    def _split_url(self) -> tuple[str, bytes, bytes]:
        raw_path, query = self.url, b""
        if raw_path[0] != _SLASH or _QUESTION_MARK in raw_path:
            url = httptools.parse_url(raw_path)
            raw_path, query = url.path, url.query or b""
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        if self.root_path:
            return self.root_path + path, self.root_path.encode("ascii") + raw_path, query
        return path, raw_path, query

    def _take_or_ignore_upgrade(self, version: str) -> None:
        method = self.parser.get_method()
        if self.ws_protocol_class is None or not head.is_handshake(method, version, self.headers):
            self._untaken = self.headers
            return
        if self.cycle is not None and not self.cycle.response_complete:
            raise Refusal(400, "A WebSocket handshake must wait for the answers to earlier requests.")
        self._is_handshake = True
        self.scope["method"] = method.decode("ascii")

    def on_body(self, body: bytes) -> None:
        """Take in a part of a body."""
        self._progress_at = self.received
        if not self.cycle.body:
            self.cycle.body = bytearray()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Record that the body is complete."""
        self._progress_at = self.received
        # Otherwise only a head has ended, or nobody asks for the body any more.
        if not (self.parser.should_upgrade() or self.cycle.response_complete):
            self.cycle.more_body = False
            self.cycle.tell()

    def on_response_complete(self) -> None:
        """Go on with the next request that has been received, or wait for one.

        The sweeper closes idle connections, in place of a timer for each response.
        """
        if self.pipeline:
            self.served = self.pipeline[-1][0]
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if not self.served.keep_alive and self.refusal is None:
            self.end_unread()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.refusal is not None:
            self.answer(self.refusal)

    # -- limits

    def _check_head(self, version: str) -> None:
        limits, headers = self.limits, self.headers
        longest = self._piece + self.received - self._progress_at
        if longest > limits.head or len(headers) > limits.fields or len(self.url) > limits.target:
            head.check_size(len(self.url), len(headers), self._known_size(), limits)
        if version not in _VERSIONS:
            raise Refusal(505, head.VERSIONS)
        head.check_host(version, headers)

    def _known_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + _PUNCTUATION for name, value in self.headers)

    def _check_unfinished(self) -> None:
        cycle = self.cycle
        unfinished = self.received - self._progress_at
        if cycle is None or cycle.scope is not self.scope:
            if self.scope is not None:  # else there were only empty lines before the first request
                size = max(unfinished, self._known_size())
                head.check_size(len(self.url), len(self.headers), size, self.limits)
        elif cycle.more_body and unfinished > self.limits.head:
            # The bytes that are no body are chunk extensions or trailer fields: the parser keeps each until
            # its end.
            raise Refusal(431, f"The trailer of the request is longer than {self.limits.head} bytes.")


async def _fail(error: Exception) -> None:
    raise error


def _new_parser(protocol: HttpToolsProtocol) -> httptools.HttpRequestParser:
    parser = httptools.HttpRequestParser(protocol)
    # As in uvicorn: bytes after the last request of a connection do not keep it from an answer.
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def _not_valid(error: httptools.HttpParserError) -> Refusal:
    if str(error) in _OTHER_VERSIONS:
        return Refusal(505, head.VERSIONS)
    why = "" if isinstance(error, httptools.HttpParserCallbackError) else f": {error}"
    return Refusal(400, f"The request is not valid HTTP/1.1{why}.")
