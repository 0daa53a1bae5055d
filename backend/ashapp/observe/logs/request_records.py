# SPDX-License-Identifier: MIT
"""Apply the rules of the access log to what uvicorn and its libraries log of requests by themselves.

uvicorn logs each WebSocket with its query string, whether there is an access log or not. It logs all requests
where the user configures logging. The library for WebSockets logs heads and messages as they are, at level
debug. uvicorn also logs an error for each response that is not complete, though that is on purpose where a
proxy sends a file in place of the body (``X-Sendfile``).
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
    """Takes query strings out of records, unless *query* is true.

    It drops records that show heads and messages, and errors about a response that is incomplete on purpose.
    Without *access* it also drops the lines that uvicorn logs of each WebSocket.
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
        observation = current.get()
        if message.startswith(_OF_INCOMPLETE) and observation is not None and observation.handed_over:
            return False
        if not self._query and isinstance(record.args, tuple):
            record.args = tuple(map(_without_query, record.args))
        return True


def _without_query(value: Any) -> Any:
    if isinstance(value, str):
        match = _QUERY.fullmatch(value)
        return value if match is None else match[1]
    if isinstance(value, Mapping) and "query_string" in value:  # the scope of a request
        return {name: member for name, member in value.items() if name != "query_string"}
    return value
