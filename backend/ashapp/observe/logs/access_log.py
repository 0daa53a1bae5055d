# SPDX-License-Identifier: MIT
"""The access log: one line for each HTTP request and each WebSocket, when it has ended.

A JSON line has these members, in this order, those in brackets only where they apply:

- ``timestamp`` (of the end, UTC), ``level``, ``logger``, ``event``;
- ``method``, ``path`` (decoded), [``query``], ``route`` (of the rule that matched, or null), ``status`` (null
  if the client had gone before there was one), ``bytes`` (of the response's body);
- ``duration_ms``, ``queued_ms`` (waiting for a thread), ``place`` ("loop", "thread", or null for a request
  that was answered before it reached the application);
- ``client`` (its address, as far as proxies are trusted), ``request_id``, ``trace_id``, ``span_id``;
- [``disconnected`` (true: the client left before the end)], [``error`` (type of what was raised)];
- of a WebSocket, whose ``event`` is "websocket" and whose ``status`` is 101 unless it was denied:
  ``close_code`` (null if it was denied), ``sent_messages``, ``received_messages``, ``received_bytes``.

Theory of operation. This line is made for each request, so it must be cheap. There is no log record and no
chain of processors, but one f-string. It joins fragments that are the same for all requests of a route with
texts that are encoded as JSON one by one. The line is made when it is written, not while the request is
served: many in a row take half the time.
"""

import json
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from math import floor

from structlog.types import Processor

from ashapp.observe.logs.formats import printable
from ashapp.observe.observation import Observation

__all__ = ["JsonLine", "console_line"]

_text: Callable[[str], str] = encode_basestring_ascii

# A method (None of a WebSocket), a route, a status and a place.
_Kind = tuple[str | None, str | None, int | None, str | None]
_MOST_KINDS = 10_000
_MOST_CLIENTS = 1_000

# Numbers as text: formatting one takes three times as long as this look-up, and a float ten times.
_NUMBERS = [str(number) for number in range(1000)]
_DIGITS = [f"{number:03d}" for number in range(1000)]
# In microseconds.
_SECOND = 1_000_000

_END = '"}\n'


class JsonLine:
    """Makes the line as JSON; with the query string if *query* is true, which may hold secrets."""

    def __init__(self, *, query: bool = False) -> None:
        self._query = query
        # The second of the last line, and the beginning of all lines in that second.
        self._second = -1.0
        self._beginning = ""
        # The fragments that lines of one kind have in common.
        self._fragments: dict[_Kind, tuple[str, str, str]] = {}
        self._clients: dict[str, str] = {}

    def __call__(self, observation: Observation, now: float) -> str:
        """Return the line of a request that has ended *now*."""
        past = now - self._second
        if not 0 <= past < 1:
            self._second = float(floor(now))
            self._beginning = time.strftime('{"timestamp":"%Y-%m-%dT%H:%M:%S.', time.gmtime(self._second))
            past = now - self._second
        scope, place, sent = observation.scope, observation.place, observation.sent
        method = scope["method"] if observation.details is None else None
        kind = (method, observation.route, observation.status, place)
        event, before_bytes, after_times = self._fragments.get(kind) or self._fragments_of(kind)
        if self._query:
            before_bytes = f',"query":{_text(observation.query)}{before_bytes}'
        client = scope.get("client")
        address = (self._clients.get(client[0]) or self._text_of(client[0])) if client else "null"
        is_plain = method is not None and observation.failure is None and not observation.disconnected
        micros, duration = floor(past * 1e6), floor(observation.duration * 1e6 + 0.5)
        queued = floor(observation.queued * 1e6 + 0.5) if place == "thread" else 0
        return (
            f"{self._beginning}{_DIGITS[micros // 1000]}{_DIGITS[micros % 1000]}{event}{_text(scope['path'])}"
            f"{before_bytes}{_NUMBERS[sent] if sent < 1000 else sent},"
            f'"duration_ms":{_NUMBERS[duration // 1000] if duration < _SECOND else duration // 1000}'
            f".{_DIGITS[duration % 1000]},"
            f'"queued_ms":{_NUMBERS[queued // 1000] if queued < _SECOND else queued // 1000}'
            f".{_DIGITS[queued % 1000]}{after_times}{address},"
            f'"request_id":"{observation.request_id}","trace_id":"{observation.trace_id}",'
            f'"span_id":"{observation.span_id}{_END if is_plain else _end(observation)}'
        )

    def _fragments_of(self, kind: _Kind) -> tuple[str, str, str]:
        """Return the fragments before the path, before the bytes and before the client."""
        method, route, status, place = kind
        name = "websocket" if method is None else "request"
        event = (
            f'Z","level":"info","logger":"ashapp.access","event":"{name}",'
            f'"method":{_text(method or "GET")},"path":'
        )
        shown = "null" if status is None else status
        before_bytes = f',"route":{_optional(route)},"status":{shown},"bytes":'
        made = event, before_bytes, f',"place":{_optional(place)},"client":'
        # Clients may invent methods: these must not fill the memory.
        if len(self._fragments) < _MOST_KINDS:
            self._fragments[kind] = made
        return made

    def _text_of(self, client: str) -> str:
        if len(self._clients) >= _MOST_CLIENTS:
            self._clients.clear()
        text = self._clients[client] = _text(client)
        return text


def console_line(observation: Observation, now: float, *, render: Processor, query: bool) -> str:
    """Return the line for a reader of a request that has ended *now*, made by *render* of structlog.

    With the query string if *query* is true.
    """
    scope = observation.scope
    target = f"{scope['path']}?{observation.query}" if query and observation.query else scope["path"]
    status = "disconnected" if observation.status is None else observation.status
    event = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "level": "info",
        "logger": "ashapp.access",
        "event": f"{scope.get('method', 'WebSocket')} {printable(target)} {status}",
        "route": observation.route,
        "bytes": observation.sent,
        "ms": round(observation.duration * 1e3, 1),
        "place": observation.place,
        "request_id": observation.request_id,
        **({"disconnected": True} if observation.disconnected else {}),
        **({"error": observation.failure} if observation.failure is not None else {}),
        **(observation.details or {}),
    }
    return f"{render(None, 'info', event)!s}\n"


def _end(observation: Observation) -> str:
    """Return the end of the line, with the members that are there only where they apply."""
    end = '"'
    if observation.disconnected:
        end += ',"disconnected":true'
    if observation.failure is not None:
        end += f',"error":{_text(observation.failure)}'
    if observation.details is not None:
        end += f",{json.dumps(dict(observation.details), separators=(',', ':'))[1:-1]}"
    return f"{end}}}\n"


def _optional(text: str | None) -> str:
    return "null" if text is None else _text(text)
