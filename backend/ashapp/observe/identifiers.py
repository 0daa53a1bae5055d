# SPDX-License-Identifier: MIT
"""The identifiers of a request: its id, taken over or made, and its place in a trace. No I/O.

Theory of operation. ``X-Request-ID`` has no standard: what a client or a proxy sends is taken over if it is
short and of harmless characters, so that it can stand in a header, a log line and a search as it is.
``traceparent`` is W3C Trace Context, level 2: the trace goes on, with a span of ours that is a child of the
caller's. Where there is none a trace begins here, and its id also is the request id if none came.
"""

import os
import re
from collections.abc import Iterable

__all__ = ["MAX_REQUEST_ID", "identify", "parse_traceparent"]

#: The longest request id that is taken over, in characters.
MAX_REQUEST_ID = 128

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:/+=@-]{1,%d}" % MAX_REQUEST_ID)

# Version 00 ends after the flags; a later one may go on (W3C Trace Context, "Versioning of traceparent").
_TRACEPARENT = re.compile(
    rb"(?:00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"|(?!00|ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?)"
)


def identify(headers: Iterable[tuple[bytes, bytes]]) -> tuple[str, str, str]:
    """Return the request id, the trace id and the id of our span, for a request with these *headers*.

    Of several request ids the last counts, which the nearest proxy has added. Several ``traceparent`` are
    none, as they can't be told apart.
    """
    given = parent = None
    for name, value in headers:
        if name == b"x-request-id":
            given = value
        elif name == b"traceparent":
            parent = value if parent is None else b""
    # 16 bytes of a trace id, 8 of a span id. Never all zero, which is invalid, in the life of a sun.
    made = os.urandom(24).hex()
    trace_id = (parse_traceparent(parent) if parent else None) or made[:32]
    request_id = given.decode("ascii") if given is not None and _REQUEST_ID.fullmatch(given) else trace_id
    return request_id, trace_id, made[32:]


def parse_traceparent(value: bytes) -> str | None:
    """Return the trace id of a ``traceparent`` header, 32 lower-case hex digits; None if it is malformed."""
    match = _TRACEPARENT.fullmatch(value)
    return (match[1] or match[2]).decode("ascii") if match else None
