# SPDX-License-Identifier: MIT
"""The access log: one line for each HTTP request, when it has ended.

A JSON line has these members, in this order, those in brackets only where they apply:

- ``timestamp`` (of the end, UTC), ``level``, ``logger``, ``event``;
- ``method``, ``path`` (decoded), [``query``], ``route`` (of the rule that matched, or null), ``status`` (null
  if the client had gone before there was one), ``bytes`` (of the response's body);
- ``duration_ms``, ``queued_ms`` (waiting for a thread), ``place`` ("loop", "thread", or null for a request
  that was answered before it reached the application);
- ``client`` (its address, as far as proxies are trusted), ``request_id``, ``trace_id``, ``span_id``;
- [``disconnected`` (true: the client left before the end)], [``error`` (type of what was raised)].

Theory of operation. This line is made for each request, so it takes a short way: no log record, no chain of
processors, but one f-string in which each text is encoded as JSON by itself. It is made when it is written,
not while the request is served: many in a row take half the time.
"""

import time
from collections.abc import Callable
from functools import partial
from json.encoder import encode_basestring_ascii

from structlog.types import Processor

from ashapp.observe.logs.formats import printable
from ashapp.observe.observation import Observation

__all__ = ["AccessLog", "ConsoleLine", "JsonLine"]

_text: Callable[[str], str] = encode_basestring_ascii


class AccessLog:
    """A sink that has a line of each observation written.

    *make_line* is given the observation, the time of its end and the type of what was raised; *write* what
    makes the line, to be called soon.
    """

    def __init__(
        self,
        make_line: Callable[[Observation, float, str | None], str],
        write: Callable[[Callable[[], str]], None],
    ) -> None:
        self._make_line = make_line
        self._write = write

    def __call__(self, observation: Observation) -> None:
        """Write the line of a request that has ended."""
        error = None if observation.error is None else type(observation.error).__name__
        self._write(partial(self._make_line, observation, time.time(), error))


class JsonLine:
    """Makes the line as JSON; with the query string if *query* is true, which may hold secrets."""

    def __init__(self, *, query: bool = False) -> None:
        self._query = query
        self._second = -1
        self._stamp = ""

    def __call__(self, observation: Observation, now: float, error: str | None) -> str:
        """Return the line of a request that has ended *now*, with an *error* of that type."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        scope = observation.scope
        route, status, place = observation.route, observation.status, observation.place
        client = scope.get("client")
        query = f'"query":{_text(_query(observation))},' if self._query else ""
        failure = ',"disconnected":true' if observation.disconnected else ""
        if error is not None:
            failure += f',"error":{_text(error)}'
        return (
            f'{{"timestamp":"{self._stamp}.{int((now - second) * 1e6):06d}Z","level":"info",'
            f'"logger":"ashapp.access","event":"request","method":{_text(scope["method"])},'
            f'"path":{_text(scope["path"])},{query}"route":{"null" if route is None else _text(route)},'
            f'"status":{"null" if status is None else status},"bytes":{observation.sent},'
            f'"duration_ms":{observation.duration * 1e3:.3f},"queued_ms":{observation.queued * 1e3:.3f},'
            f'"place":{"null" if place is None else _text(place)},'
            f'"client":{_text(client[0]) if client else "null"},'
            f'"request_id":"{observation.request_id}","trace_id":"{observation.trace_id}",'
            f'"span_id":"{observation.span_id}"{failure}}}\n'
        )


class ConsoleLine:
    """Makes the line for a reader; *render* is structlog's. With the query string if *query* is true."""

    def __init__(self, render: Processor, *, query: bool = False) -> None:
        self._render = render
        self._query = query

    def __call__(self, observation: Observation, now: float, error: str | None) -> str:
        """Return the line of a request that has ended *now*, with an *error* of that type."""
        scope = observation.scope
        query = _query(observation) if self._query else ""
        target = f"{scope['path']}?{query}" if query else scope["path"]
        status = "disconnected" if observation.status is None else observation.status
        event = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
            "level": "info",
            "logger": "ashapp.access",
            "event": f"{scope['method']} {printable(target)} {status}",
            "route": observation.route,
            "bytes": observation.sent,
            "ms": round(observation.duration * 1e3, 1),
            "place": observation.place,
            "request_id": observation.request_id,
            **({"disconnected": True} if observation.disconnected else {}),
            **({"error": error} if error is not None else {}),
        }
        return f"{self._render(None, 'info', event)!s}\n"


def _query(observation: Observation) -> str:
    query: bytes = observation.scope.get("query_string", b"")
    return query.decode("latin-1")
