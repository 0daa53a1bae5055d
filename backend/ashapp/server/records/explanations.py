# SPDX-License-Identifier: MIT
"""What is said of a value or a name that is refused."""

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = ["shown", "suggestion"]

_LONGEST_VALUE = 100


def shown(value: Any) -> str:
    """Return *value* for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return which of *names* may have been meant by *name*, to be added to a message; or nothing."""
    close = difflib.get_close_matches(name.replace("-", "_").lower(), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
