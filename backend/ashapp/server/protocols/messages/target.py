# SPDX-License-Identifier: MIT
"""Take the target of a request for a path, in whichever form it is (RFC 9112, 3.2)."""

import re

from ashapp.server.protocols.messages.refusal import Refusal

__all__ = ["Fields", "in_origin_form"]

#: Header fields, with names in lower case.
Fields = list[tuple[bytes, bytes]]

_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(|[/?][^#]*)(?:#.*)?", re.IGNORECASE)


def in_origin_form(target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """Return *target* as a path with its query, and *fields* with the host that it names for Host.

    A path, and the asterisk that stands for the whole server, come back as they are.

    Raises:
        Refusal: it is of no other form for which a server is asked, or names a user: 400 (RFC 9110, 4.2.4).

    """
    if target.startswith(b"/") or target == b"*":
        return target, fields
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise Refusal(400, "The request target is neither a path nor a URL of http or https without a user.")
    host, path = match.groups()
    return (
        path if path.startswith(b"/") else b"/" + path,
        [(name, host if name == b"host" else value) for name, value in fields],
    )
