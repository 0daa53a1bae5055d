# SPDX-License-Identifier: MIT
"""Checks the head of a request, and recognises what it asks for, such as an upgrade. No I/O.

A head that two parsers may understand differently is refused: between a proxy and a server it can smuggle a
request (RFC 9112, 11.2). llhttp, which httptools uses, refuses most of these heads by itself. h11 does not:
`check_head` does it for h11.

A server ignores an upgrade that it does not take (RFC 9110, 7.8). The request is then like any other, and
ends where Content-Length or its last chunk says (RFC 9112, 6.3). A WebSocket handshake has no body, and the
bytes after it are never another request.
"""

import re
from functools import lru_cache

from ashapp.server.protocols.limits import ConnectionLimits, Refusal

__all__ = [
    "EARLY",
    "VERSIONS",
    "Fields",
    "check_head",
    "check_host",
    "check_lines",
    "check_nothing_follows",
    "check_size",
    "in_origin_form",
    "is_handshake",
]

#: Header fields, with names in lower case.
Fields = list[tuple[bytes, bytes]]

#: The refusal, with 400, for a client that does not wait for the answer to its handshake (RFC 6455, 4.1).
EARLY = "Something follows the WebSocket handshake: wait for its answer."
#: The refusal, with 505, for another version.
VERSIONS = "HTTP/1.0 and HTTP/1.1 are understood."

_END = b"\r\n\r\n"

_WRONG = (
    # RFC 9110, 5.5: controls other than a tab are not allowed in a value, and nowhere else in a head either.
    (re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"), "a control character"),
    # RFC 9112, 2.2: a line ends with CR and LF. The last byte may be a CR whose LF is still to come.
    (re.compile(rb"(?<!\r)\n|\r(?=[^\n])"), "a CR or LF that stands alone"),
    # RFC 9112, 5.2.
    (re.compile(rb"\n[ \t]"), "a field that is continued in the next line"),
)
_FRAMING = re.compile(rb"\r\n(content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
_ODD_LENGTH = re.compile(rb"\r\ncontent-length[ \t]*:(?![ \t]*[0-9]+[ \t]*\r\n)", re.IGNORECASE)
# RFC 9110, 2.5: a request that is served as HTTP/1.1 must say so.
_OTHER_VERSION = re.compile(rb"[^\r\n]* HTTP/(?!1\.[01]\r)[0-9]\.[0-9]\r\n")

_ABSOLUTE_FORM = re.compile(rb"https?://([^/?@]+)(|[/?].*)", re.IGNORECASE)
# RFC 3986, 3.2.2: a name, which should be as short as DNS wants it, or an address, with its zone (RFC 6874);
# then a port.
_HOST = re.compile(
    rb"(?:[\w.~!$&'()*+,;=%-]{0,255}|\[[0-9a-f:.]{2,45}(?:%[\w.~%-]{1,64})?\])(?::[0-9]{0,5})?", re.IGNORECASE
)

# A request without any of them is not meant as a handshake (RFC 6455, 4.1).
_OF_HANDSHAKE = {b"sec-websocket-key", b"sec-websocket-version"}
_KEY = re.compile(rb"[a-z0-9+/]{22}==", re.IGNORECASE)
# RFC 6455, 4.4, and RFC 9110, 15.5.22.
_OTHER_PROTOCOL = (
    (b"connection", b"upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
)


def check_head(received: bytes, limits: ConnectionLimits) -> None:
    """Check *received*: it begins with a head, which may be incomplete, or have more behind it.

    Raises a `Refusal` if the head is too long, 414 or 431; not as RFC 9112 says, 400; or of another version,
    505.
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
    """Refuse lines between the chunks of a body, or behind them, that are not what RFC 9112 says: 400."""
    for pattern, what in _WRONG:
        if pattern.search(received):
            raise Refusal(400, f"The body of the request has {what}, between its chunks or behind them.")


def check_size(target: int, fields: int, head: int, limits: ConnectionLimits) -> None:
    """Refuse a target that is too long, 414, and too many fields or too long a head, 431 (RFC 6585, 5)."""
    if target > limits.target:
        raise Refusal(414, f"The request target is longer than {limits.target} bytes.")
    if fields > limits.fields:
        raise Refusal(431, f"The request has more than {limits.fields} header fields.")
    if head > limits.head:
        raise Refusal(431, f"The head of the request is longer than {limits.head} bytes.")


def check_host(version: str, fields: Fields) -> None:
    """Refuse a request of HTTP/1.1 without Host, and any with several Hosts or a wrong one, 400.

    A proxy may choose another one of several, or another part of a wrong one (RFC 9112, 3.2).
    """
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) == 1:
        _check_name(hosts[0])
    elif hosts:
        raise Refusal(400, "The request has more than one Host field.")
    elif version == "1.1":
        raise Refusal(400, "The request has no Host field.")


@lru_cache(maxsize=1024)  # only accepted values: an exception is not cached
def _check_name(host: bytes) -> None:
    if not _HOST.fullmatch(host):
        raise Refusal(400, "The host of the request is not a name or an address, with or without a port.")


def in_origin_form(method: bytes, target: bytes, fields: Fields) -> tuple[bytes, Fields]:
    """Return *target* as a path with its query. If it names a host, that is Host in the returned *fields*.

    A path, and the asterisk for the whole server, are returned as they are (RFC 9112, 3.2). Targets of other
    forms, with a fragment or with a user are refused, 400 (RFC 9110, 4.2.4), and so are tunnels, 501 (RFC
    9110, 9.3.6).
    """
    if method == b"CONNECT":
        raise Refusal(501, "CONNECT is not served here: the service is no proxy.")
    if b"#" in target:
        raise Refusal(400, "The request target has a '#': leave out what follows it, and the sign.")
    if target.startswith(b"/") or target == b"*":
        return target, fields
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None:
        raise Refusal(400, "The request target is neither a path nor a URL of http or https without a user.")
    host, path = match.groups()
    _check_name(host)
    return (
        path if path.startswith(b"/") else b"/" + path,
        [(name, host if name == b"host" else value) for name, value in fields],
    )


def is_handshake(method: bytes, version: str, fields: Fields) -> bool:
    """Whether it is a WebSocket handshake (RFC 6455, 4.2).

    A handshake of another version is refused, 426; one with a body or a wrong key, 400.
    """

    def values(wanted: bytes) -> list[bytes]:
        return [value.lower() for name, value in fields if name == wanted]

    if method != b"GET" or version != "1.1" or _OF_HANDSHAKE.isdisjoint(name for name, _ in fields):
        return False
    options = b",".join(values(b"connection")).split(b",")
    if values(b"upgrade") != [b"websocket"] or b"upgrade" not in map(bytes.strip, options):
        return False
    if values(b"transfer-encoding") or any(map(int, values(b"content-length"))):
        raise Refusal(400, "The request is a WebSocket handshake, and has a body: send none.")
    if values(b"sec-websocket-version") != [b"13"]:
        raise Refusal(426, "Sec-WebSocket-Version is not 13, the only one that is served.", *_OTHER_PROTOCOL)
    keys = values(b"sec-websocket-key")
    if len(keys) != 1 or not _KEY.fullmatch(keys[0]):
        raise Refusal(400, "Sec-WebSocket-Key is not one key: send 16 bytes in base64.")
    return True


def check_nothing_follows(received: bytes) -> None:
    """Refuse what was *received* with a handshake."""
    if received:
        raise Refusal(400, EARLY)
