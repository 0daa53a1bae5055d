# SPDX-License-Identifier: MIT
"""The trace that a request belongs to, by W3C Trace Context, as the server has told it to the log."""

import re
import secrets

from flask import request

from ashapp.api.openapi.operations import Model
from ashapp.bridge.messages.types import INFO

__all__ = ["Trace", "trace_of_request"]

_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class Trace(Model):
    """The ids that logs and traces have for a request; `span_id` is None where nothing has begun a span."""

    request_id: str | None
    trace_id: str
    span_id: str | None

    def traceparent(self) -> str:
        """Return the header field for a request that this one causes."""
        return f"00-{self.trace_id}-{self.span_id or secrets.token_hex(8)}-01"


def trace_of_request() -> Trace:
    """Return the trace of the current request, a new one if nobody has begun one."""
    notes = request.environ.get("asgi.scope", {}).get(INFO)
    if notes is not None and hasattr(notes, "trace_id"):
        return Trace(request_id=notes.request_id, trace_id=notes.trace_id, span_id=notes.span_id or None)
    parent = _PARENT.fullmatch(request.headers.get("traceparent", ""))
    trace_id, span_id = parent.groups() if parent else (secrets.token_hex(16), None)
    return Trace(request_id=request.headers.get("X-Request-ID"), trace_id=trace_id, span_id=span_id)
