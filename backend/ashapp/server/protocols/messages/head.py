# SPDX-License-Identifier: MIT
"""Check the bytes of a request's head, complete or not, before a lenient parser makes something of them.

What two parsers may understand differently is refused: between a proxy and a server, it can smuggle a request
(RFC 9112, 11.2). llhttp, which httptools uses, does all of it by itself; h11 does not.
"""

import re

from ashapp.server.protocols.messages.limits import ConnectionLimits
from ashapp.server.protocols.messages.refusal import Refusal

__all__ = ["VERSIONS", "check_head", "check_lines", "check_size"]

#: What a request of another version is told, with 505.
VERSIONS = "HTTP/1.0 and HTTP/1.1 are understood."

_END = b"\r\n\r\n"

# RFC 9112, 2.2: a line ends with CR and LF. The last byte may be a CR whose LF is still to come.
_BARE = re.compile(rb"(?<!\r)\n|\r(?=[^\n])")
# RFC 9112, 5.2: a field that goes on in the next line.
_FOLDED = re.compile(rb"\n[ \t]")
# RFC 9110, 5.5: controls other than a tab are not allowed in a value, and nowhere else in a head either.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)

# RFC 9110, 2.5: what is served as HTTP/1.1 must say so.
_OTHER_VERSION = re.compile(rb"[^\r\n]* HTTP/(?!1\.[01]\r)[0-9]\.[0-9]\r\n")

_ODD_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:(?![ \t]*[0-9]+[ \t]*\r\n)", re.IGNORECASE)

_WRONG = (
    (_CONTROL, "a control character"),
    (_BARE, "a CR or LF that stands alone"),
    (_FOLDED, "a field that is continued in the next line"),
)


def check_head(received: bytes, limits: ConnectionLimits) -> None:
    """Check *received*, which begins with a head and may end before it does, or go on after it.

    Raises:
        Refusal: it is too long, 414 or 431, not what RFC 9112 says, 400, or of another version, 505.

    """
    head, end, _ = received.partition(_END)
    head += end
    line, _, fields = head.partition(b"\r\n")
    target = line.partition(b" ")[2].partition(b" ")[0]
    check_size(len(target), fields.count(b"\r\n") - bool(end), len(head), limits)
    for pattern, what in _WRONG:
        if pattern.search(head):
            raise Refusal(400, f"The head of the request has {what}.")
    if _OTHER_VERSION.match(head):
        raise Refusal(505, VERSIONS)
    if len(_FRAMING.findall(head)) > 1:  # RFC 9112, 6.3
        raise Refusal(400, "The request has more than one Content-Length or Transfer-Encoding.")
    if end and _ODD_LENGTH.search(head):
        raise Refusal(400, "Content-Length is not a number of bytes.")


def check_lines(received: bytes | bytearray) -> None:
    """Check lines between the chunks of a body, or behind them; *received* may end within one.

    Raises:
        Refusal: a line is not what RFC 9112 says: 400.

    """
    for pattern, what in _WRONG:
        if pattern.search(received):
            raise Refusal(400, f"The body of the request has {what}, between its chunks or behind them.")


def check_size(target: int, fields: int, head: int, limits: ConnectionLimits) -> None:
    """Check the length of the target, the number of fields and the length of the head, as far as known.

    Raises:
        Refusal: one is too great: 414 for the target, 431 for the others (RFC 6585, 5).

    """
    if target > limits.target:
        raise Refusal(414, f"The request target is longer than {limits.target} bytes.")
    if fields > limits.fields:
        raise Refusal(431, f"The request has more than {limits.fields} header fields.")
    if head > limits.head:
        raise Refusal(431, f"The head of the request is longer than {limits.head} bytes.")
