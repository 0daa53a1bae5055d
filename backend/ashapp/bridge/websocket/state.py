# SPDX-License-Identifier: MIT
"""What has become of a WebSocket: of its handshake, and how it has ended."""

from enum import Enum, auto

__all__ = ["State", "WebSocketClosed"]


class WebSocketClosed(OSError):  # noqa: N818 - an outcome, not a fault
    """The WebSocket is closed: the peer has closed it or has gone, or the application or the server has.

    ``code`` is that of the close frame (RFC 6455, 7.4), 1005 where that had none, and 1006 where there was no
    close frame. ``reason`` is its text, which may be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket is closed: {self.code} {self.reason}".rstrip()


class State(Enum):
    """What has become of the handshake."""

    CONNECTING = auto()  # it has not been answered
    DENIED = auto()  # a response answers it
    OPEN = auto()
    CLOSED = auto()
