# SPDX-License-Identifier: MIT
"""What a WebSocket may carry: the size of a message, the code and the reason of its end. No I/O."""

__all__ = ["check_close", "is_too_long"]

# Codes that a close frame may have (RFC 6455, 7.4, and the registry of IANA). Servers refuse others.
_SENDABLE = (range(1000, 1004), range(1007, 1015), range(3000, 5000))
# A control frame has at most 125 bytes (RFC 6455, 5.5), of which the code takes two.
_LONGEST_REASON = 123
# Of a character in UTF-8.
_MOST_BYTES = 4


def check_close(code: int, reason: str) -> None:
    """Raise ``ValueError`` if a close frame can't have *code* and *reason*."""
    if not any(code in codes for codes in _SENDABLE):
        raise ValueError(f"close code {code!r}: expected 1000 to 1003, 1007 to 1014 or 3000 to 4999")
    size = len(reason.encode())
    if size > _LONGEST_REASON:
        raise ValueError(f"the reason {reason[:20]!r}… has {size} bytes: expected {_LONGEST_REASON} at most")


def is_too_long(message: str | bytes, max_size: int) -> bool:
    """Say whether *message* has more than *max_size* bytes; text is counted in UTF-8."""
    if len(message) * _MOST_BYTES <= max_size:
        return False
    return len(message.encode() if isinstance(message, str) else message) > max_size
