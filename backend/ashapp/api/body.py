# SPDX-License-Identifier: MIT
"""Reads the body of a request within a limit, and refuses one that ends early.

``Request.stream`` and ``Request.get_data`` will not do. If the server ends the stream itself
(``wsgi.input_terminated``), Werkzeug silently cuts a body at ``MAX_CONTENT_LENGTH``, and does not notice that
fewer bytes arrived than Content-Length announced. Nor can Flask 3.0 set a limit for one request.
"""

import re
from collections.abc import Iterator

from flask import request
from werkzeug.exceptions import BadRequest, ClientDisconnected, LengthRequired, RequestEntityTooLarge
from werkzeug.wsgi import get_input_stream

__all__ = ["chunks_of_body", "read_body"]

_CHUNK_SIZE = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}")


def read_body(limit: int | None) -> bytes:
    """Return the whole body of the current request.

    ``limit`` is in bytes; None means no limit. Raises ``RequestEntityTooLarge`` past the limit, before
    anything is read where Content-Length tells; ``LengthRequired`` where the end of the body cannot be known;
    ``BadRequest`` where the body ends early or its Content-Length is no number.
    """
    return b"".join(chunks_of_body(limit))


def chunks_of_body(limit: int | None) -> Iterator[bytes]:
    """Yield the body in chunks of at most 64 KiB; limit and errors as with ``read_body``."""
    length = _announced_length()
    if limit is not None and length is not None and length > limit:
        raise _too_large(limit)
    stream = get_input_stream(request.environ)
    size = 0
    while True:
        try:
            chunk = stream.read(_CHUNK_SIZE)
        except (ClientDisconnected, OSError, ValueError) as error:
            raise _incomplete(size, length) from error
        if not chunk:
            break
        size += len(chunk)
        if limit is not None and size > limit:
            raise _too_large(limit)
        yield chunk
    if length is not None and size < length:
        raise _incomplete(size, length)


def _announced_length() -> int | None:
    """Return the Content-Length, or None where there is none or the body is chunked."""
    environ = request.environ
    field = environ.get("CONTENT_LENGTH")
    if field and not _LENGTH.fullmatch(field):  # Werkzeug takes it for 0.
        raise BadRequest(f"Content-Length must be a number of bytes, not {field!r}.")
    length = request.content_length
    if length is None and "HTTP_TRANSFER_ENCODING" in environ and not environ.get("wsgi.input_terminated"):
        # Werkzeug gives an empty stream here, which would pass for an empty body.
        raise LengthRequired("This server does not decode a transfer coding; send a Content-Length.")
    return length


def _too_large(limit: int) -> RequestEntityTooLarge:
    return RequestEntityTooLarge(f"The body is larger than {limit} bytes, the most that is accepted here.")


def _incomplete(size: int, length: int | None) -> BadRequest:
    expected = "" if length is None else f" of {length}"
    return BadRequest(f"The body ended early: {size}{expected} bytes arrived.")
