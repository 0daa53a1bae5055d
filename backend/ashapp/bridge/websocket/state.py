# SPDX-License-Identifier: MIT
"""The state of a WebSocket's handshake, and how a WebSocket has ended."""

from enum import Enum, auto

__all__ = ["State", "WebSocketClosed", "check_close"]

# Codes that a close frame may have (RFC 6455, 7.4, and the registry of IANA). Servers refuse others.
_SENDABLE = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
# A control frame has at most 125 bytes (RFC 6455, 5.5), of which the code takes two.
_LONGEST_REASON = 123


class WebSocketClosed(OSError):  # noqa: N818 - an outcome, not a fault
    """The WebSocket is closed: by the peer, the application or the server, or because the peer has gone.

    ``code`` is the code of the close frame (RFC 6455, 7.4); 1005 if the frame had none; 1006 if there was no
    close frame. ``reason`` is the text of the frame, which may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket is closed: {self.code} {self.reason}".rstrip()


class State(Enum):
    """The state of the handshake."""

    CONNECTING = auto()  # it has not been answered
    DENIED = auto()  # a response answers it
    OPEN = auto()
    CLOSED = auto()


def check_close(code: int, reason: str) -> None:
    """Raise ``ValueError`` if a close frame can't have *code* and *reason*."""
    if not any(code in codes for codes in _SENDABLE):
        raise ValueError(f"close code {code!r}: expected 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    size = len(reason.encode())
    if size > _LONGEST_REASON:
        raise ValueError(f"the reason {reason[:20]!r}… has {size} bytes: expected {_LONGEST_REASON} at most")
