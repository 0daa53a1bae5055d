# SPDX-License-Identifier: MIT
"""Tell the WebSocket handshakes among requests that ask for another protocol.

A server ignores an upgrade that it does not take (RFC 9110, 7.8): then the request is one like any other, and
ends where Content-Length or its last chunk says (RFC 9112, 6.3). A handshake has no body, and whatever comes
after it is never another request.
"""

from collections.abc import Iterable

from ashapp.server.protocols.messages.refusal import Refusal
from ashapp.server.protocols.messages.target import Fields

__all__ = ["check_nothing_follows", "is_handshake", "refuse_connect"]

# Without any of them it is not meant to be a handshake (RFC 6455, 4.1).
_OF_HANDSHAKE = {b"sec-websocket-key", b"sec-websocket-version"}


def is_handshake(method: bytes, version: str, fields: Fields) -> bool:
    """Whether it is a WebSocket handshake, though maybe one with a wrong key or version (RFC 6455, 4.2).

    Raises:
        Refusal: it is one, but has a body: 400.

    """
    if method != b"GET" or version != "1.1" or _OF_HANDSHAKE.isdisjoint(name for name, _ in fields):
        return False
    if [value.lower() for value in _all(fields, b"upgrade")] != [b"websocket"]:
        return False
    if not any(b"upgrade" in _tokens(value) for value in _all(fields, b"connection")):
        return False
    if any(True for _ in _all(fields, b"transfer-encoding")) or any(
        int(length) for length in _all(fields, b"content-length")
    ):
        raise Refusal(400, "The request is a WebSocket handshake, and has a body: send none.")
    return True


def check_nothing_follows(received: bytes | memoryview) -> None:
    """Check that nothing was *received* with a handshake: the client has to wait (RFC 6455, 4.1).

    Raises:
        Refusal: something was: 400.

    """
    if received:
        raise Refusal(400, "Something follows the WebSocket handshake: wait for its answer.")


def refuse_connect(method: bytes) -> None:
    """Refuse to be a tunnel: what follows a CONNECT is for another server (RFC 9110, 9.3.6).

    Raises:
        Refusal: the method is CONNECT: 501.

    """
    if method == b"CONNECT":
        raise Refusal(501, "CONNECT is not served here: the service is no proxy.")


def _all(fields: Fields, wanted: bytes) -> Iterable[bytes]:
    return (value for name, value in fields if name == wanted)


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]
