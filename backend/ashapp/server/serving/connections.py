# SPDX-License-Identifier: MIT
"""End the connections of a server, each where it loses no request.

Theory of operation. A client expects the end of a connection only after a response with ``Connection: close``
(RFC 9112, 9.6). If an idle connection is closed while a request is on its way, that request is lost. So each
response that has not begun gets the header. If a response has begun without it, the connection goes on until
the next one. An idle connection is closed only when it has been idle for a while, its client has taken the
whole response, nothing of a request has been read, and nothing waits to be read. Other protocols, such as
WebSocket and HTTP/2, end themselves. If one fails to, it is aborted, so that the others still end.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from uvicorn.protocols.http.flow_control import CLOSE_HEADER

from ashapp.server.protocols.delivery import has_arrived, unsent
from ashapp.server.protocols.responses import DefaultHeaders

__all__ = ["Connections", "number_of"]

_log = logging.getLogger("ashapp.server")

# How many requests are named.
_NAMED = 3


class Connections:
    """The open connections of a server: uvicorn's ``server_state.connections``."""

    def __init__(self, connections: set[Any]) -> None:
        self._connections = connections
        self._idle_since: dict[Any, float] = {}
        self._ended: set[Any] = set()

    def announce_end(self) -> None:
        """Let each response that has not begun be the last one of its connection."""
        for connection in list(self._connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_started or CLOSE_HEADER in cycle.default_headers:
                continue
            # This header also makes uvicorn end the connection.
            cycle.default_headers = DefaultHeaders([*cycle.default_headers, CLOSE_HEADER])

    def close_idle(self, grace: float) -> None:
        """Close connections that have been idle for *grace* seconds; to be called repeatedly."""
        now = time.monotonic()
        connections = [connection for connection in self._connections if hasattr(connection, "cycle")]
        idle = list(filter(_is_idle, connections))
        self._idle_since = {connection: self._idle_since.get(connection, now) for connection in idle}
        due = [connection for connection, since in self._idle_since.items() if now - since >= grace]
        for connection in due:
            # One by one: while some are closed, requests may come on others.
            if not has_arrived(connection.transport):
                _shut_down(connection)

    def in_flight(self) -> str:
        """Describe what is in flight: how many requests and WebSockets, some of them by name."""
        cycles = [getattr(each, "served", getattr(each, "cycle", None)) for each in self._connections]
        scopes = [cycle.scope for cycle in cycles if cycle is not None and not cycle.response_complete]
        names = [f"{scope['method']} {scope['path']!r}" for scope in scopes[:_NAMED]]
        more = ["..."] if len(scopes) > _NAMED else []
        others = sum(not hasattr(each, "cycle") for each in self._connections)
        requests = f"{number_of(len(scopes), 'request')} ({', '.join(names + more)})" if scopes else ""
        return " and ".join(filter(None, [requests, number_of(others, "WebSocket") if others else ""]))

    def break_off(self) -> None:
        """Give each request a task that can be cancelled, for an end that does not wait for it.

        Requests whose response has begun end as if the client had gone.

        Otherwise uvicorn would log an error for each response that is cancelled before it is complete.
        """
        for connection in list(self._connections):
            cycle = getattr(connection, "served", getattr(connection, "cycle", None))
            need_task = getattr(cycle, "need_task", None)
            if need_task is not None:
                need_task()
            if cycle is not None and cycle.response_started and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
                connection.flow.resume_writing()
                connection.transport.close()

    def descriptors(self) -> Iterator[int]:
        """Yield the descriptors of their sockets."""
        for connection in self._connections:
            transport = getattr(connection, "transport", None)
            sock = None if transport is None else transport.get_extra_info("socket")
            if sock is not None:
                yield sock.fileno()

    def abort(self) -> None:
        """Close all connections at once, also busy ones."""
        for connection in list(self._connections):
            _abort(connection)

    def close_others(self) -> None:
        """Close open connections of other protocols, each once; to be called repeatedly."""
        for connection in list(self._connections):
            if not hasattr(connection, "cycle") and connection not in self._ended:
                self._ended.add(connection)
                _shut_down(connection)


def number_of(number: int, what: str) -> str:
    """Return *number* and the noun *what*, in the plural unless it is one."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shut_down(connection: Any) -> None:
    try:
        connection.shutdown()
    except Exception:
        _log.warning("A connection could not be ended in order: aborted", exc_info=True)
        _abort(connection)


def _abort(connection: Any) -> None:
    if connection.transport is not None:
        with contextlib.suppress(Exception):  # there is no more to be done about it
            connection.transport.abort()


def _is_idle(connection: Any) -> bool:
    cycle = connection.cycle
    if (cycle is not None and not cycle.response_complete) or unsent(connection.transport):
        return False
    # Each request has a scope of its own, from its first byte on; h11 keeps the bytes until the head ends.
    scope = connection.scope
    is_begun = scope is not None and (cycle is None or scope is not cycle.scope)
    if getattr(connection.flow, "held", False):  # by the received bytes, which wait to be parsed
        return False
    return not is_begun and not (hasattr(connection, "conn") and connection.conn.trailing_data[0])
