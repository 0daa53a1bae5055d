# SPDX-License-Identifier: MIT
"""Take a request target in absolute form apart (RFC 9112, 3.2.2)."""

import re

__all__ = ["Fields", "in_origin_form"]

#: Header fields, with names in lower case.
Fields = list[tuple[bytes, bytes]]

# One with user information is no good sign (RFC 9110, 4.2.4), and is not understood.
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(|[/?][^#]*)(?:#.*)?", re.IGNORECASE)


def in_origin_form(target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """Return *target* as a path with its query, and *fields* with the host that it names for Host.

    What is not in absolute form comes back as it is.
    """
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        return target, fields
    host, path = match.groups()
    return (
        path if path.startswith(b"/") else b"/" + path,
        [(name, host if name == b"host" else value) for name, value in fields],
    )
