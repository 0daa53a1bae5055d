# SPDX-License-Identifier: MIT
"""Hold the records that a server and its libraries log of requests to the rules of our access log.

uvicorn logs each WebSocket by itself, with its query string, whether there is an access log or not; and all
requests, where it is configured by the user. The library that it uses for WebSockets logs heads and messages
as they are at level debug.

uvicorn also logs an error for a response that is not complete, though that is on purpose where a proxy sends
a file in place of the body (``X-Sendfile``).
"""

import logging
import re
from collections.abc import Mapping
from typing import Any

from ashapp.observe.observation import current

__all__ = ["LOGGERS", "RequestRecords"]

#: The loggers that have such records.
LOGGERS = ("uvicorn.access", "uvicorn.asgi", "uvicorn.error", "websockets.server")

_QUERY = re.compile(r"((?:[a-z]+:/)?/[^\s?]*)\?\S*", re.IGNORECASE)

# A line of a head, or a message, that was received or sent.
_RAW = ("< ", "> ")

_OF_CONNECTIONS = ('%s - "WebSocket %s" ', "connection rejected (", "connection open", "connection closed")


_OF_INCOMPLETE = ("ASGI callable returned without completing response.", "Exception in ASGI application")


class RequestRecords(logging.Filter):
    """Takes query strings out of records, unless *query* is true, and drops those that show more than that.

    Without *access*, drops all that are made for each WebSocket, too. What is told of a response that is
    incomplete on purpose is dropped in any case.
    """

    def __init__(self, *, access: bool, query: bool) -> None:
        super().__init__()
        self._access = access
        self._query = query

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log *record*, which is changed if need be."""
        message = record.msg if isinstance(record.msg, str) else ""
        if record.levelno <= logging.DEBUG and message.startswith(_RAW):
            return False
        if not self._access and message.startswith(_OF_CONNECTIONS):
            return False
        if message.startswith(_OF_INCOMPLETE) and _is_handed_over():
            return False
        if not self._query and isinstance(record.args, tuple):
            record.args = tuple(map(_without_query, record.args))
        return True


def _is_handed_over() -> bool:
    observation = current.get()
    return observation is not None and observation.handed_over


def _without_query(value: Any) -> Any:
    if isinstance(value, str):
        match = _QUERY.fullmatch(value)
        return value if match is None else match[1]
    if isinstance(value, Mapping) and "query_string" in value:  # the scope of a request
        return {name: member for name, member in value.items() if name != "query_string"}
    return value
