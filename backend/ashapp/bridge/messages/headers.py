# SPDX-License-Identifier: MIT
"""Header fields on their way in (ASGI to environ) and out (``start_response`` to ASGI)."""

import re
from collections.abc import Iterable
from functools import lru_cache

from ashapp.bridge.messages.errors import RequestRejected
from ashapp.bridge.messages.types import Environ

__all__ = ["add_request_headers", "encode_response_headers", "environ_key"]

# RFC 9110, 5.3: a field that is not a list must not be repeated. These three decide how the message
# is framed, read and routed, so two answers to the same question are refused (RFC 9112, 3.2 and 6.3).
_SINGLE = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_HOST"})

# RFC 9110, 7.6.1 and PEP 3333, "Other HTTP Features": these belong to the server, not to the
# application. Proxy-Authenticate is left out: it is an application's own answer of 407.
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"trailers", b"transfer-encoding", b"upgrade"}
)

# Values up to this length come again and again: types, lengths, small settings of caches. Longer ones,
# cookies among them, are not kept in memory.
_SHORT = 40
_MOST_KNOWN = 1024
_known: dict[tuple[str, str], tuple[bytes, bytes]] = {}

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@lru_cache(maxsize=1024)
def environ_key(name: bytes) -> str | None:
    """Return the environ key of the request header *name*, or None if it must be dropped.

    ``X_User`` and ``X-User`` would share a key, so that a client could forge what a proxy sets:
    names with an underscore are dropped, as nginx, gunicorn and Django do.
    """
    if b"_" in name:
        return None
    # The bytes are upper-cased, not the text: that would turn an eszett into SS, and so forge as well.
    key = name.upper().decode("latin-1").replace("-", "_")
    return key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{key}"


def add_request_headers(
    environ: Environ, headers: Iterable[tuple[bytes, bytes]], duplicate_header_limit: int | None
) -> None:
    """Put *headers* into *environ* by PEP 3333, joining repeated fields by RFC 9110, 5.3.

    Cookies are joined by ``"; "`` (RFC 9113, 8.2.3), all others by ``", "``.

    Raises:
        RequestRejected: Content-Length, Content-Type or Host is repeated, a Content-Length is
            no number or stands beside Transfer-Encoding, or a field is repeated more than
            *duplicate_header_limit* times (None or 0: no limit).
    """
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        key = environ_key(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key not in environ:
            environ[key] = text
        elif key in _SINGLE:
            raise RequestRejected(400, f"{name.decode('latin-1')} is given more than once.")
        else:
            repeated.setdefault(key, [environ[key]]).append(text)
    for key, values in repeated.items():
        if duplicate_header_limit and len(values) > duplicate_header_limit:
            raise RequestRejected(
                400,
                f"Too many duplicate headers: {len(values)} of one name, {duplicate_header_limit} allowed.",
            )
        environ[key] = ("; " if key == "HTTP_COOKIE" else ", ").join(values)
    if "CONTENT_LENGTH" in environ:
        _check_content_length(environ)


def _check_content_length(environ: Environ) -> None:
    length = environ["CONTENT_LENGTH"]
    if not (length.isascii() and length.isdigit()):
        raise RequestRejected(400, f"Content-Length is {length[:40]!r}: it must be a number of bytes.")
    if "HTTP_TRANSFER_ENCODING" in environ:
        raise RequestRejected(400, "Content-Length and Transfer-Encoding are both given.")


@lru_cache(maxsize=1024)
def _encode_name(name: str) -> bytes:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"response header name {name!r} is not a token (RFC 9110, 5.1)")
    return name.lower().encode("ascii")


def encode_response_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return *headers* as ASGI wants them: lower-cased names, values in latin-1 (PEP 3333).

    Hop-by-hop fields are dropped, except for ``Connection: close``, by which an application
    asks that the connection be closed.

    Raises:
        TypeError: a name or a value is not a ``str``.
        ValueError: a name is not a token, or a value has a control character (a line break would
            let a client split the response) or a character outside latin-1.
    """
    encoded = []
    for name, value in headers:
        field = _known.get((name, value)) or _encode(name, value)
        if field is not None:
            encoded.append(field)
    return encoded


def _encode(name: str, value: str) -> tuple[bytes, bytes] | None:
    if not (isinstance(name, str) and isinstance(value, str)):
        raise TypeError(f"response header {name!r}: {value!r}: both must be str (PEP 3333)")
    field = _encode_name(name)
    # isprintable is the quick way to say yes; a tab or a no-break space needs the closer look.
    if not value.isprintable() and _CONTROL.search(value):
        raise ValueError(f"response header {name}: {value!r} has a control character")
    if field in _HOP_BY_HOP and not (field == b"connection" and value.strip().lower() == "close"):
        return None
    try:
        # White space around a value is no part of it (RFC 9110, 5.5), and some servers refuse it.
        encoded = field, value.encode("latin-1").strip()
    except UnicodeEncodeError:
        raise ValueError(
            f"response header {name}: {value!r} has characters outside latin-1: encode it (RFC 8187)"
        ) from None
    if len(value) <= _SHORT:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[name, value] = encoded
    return encoded
