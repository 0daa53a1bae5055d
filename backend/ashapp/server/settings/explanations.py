# SPDX-License-Identifier: MIT
"""What is said of a value that is refused: the value, and what is allowed instead."""

import difflib
from collections.abc import Iterable
from typing import Any

from pydantic import ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ashapp.server.settings.sources.durations import UNITS_TEXT
from ashapp.server.settings.types import DURATION, parts_of

__all__ = ["allowed", "message", "shown", "suggestion"]

_LONGEST_VALUE = 100


def shown(value: Any) -> str:
    """Return *value* for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return which of *names* may have been meant by *name*, to be added to a message; or nothing."""
    close = difflib.get_close_matches(name.replace("-", "_").lower(), names, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def message(details: ErrorDetails) -> str:
    """Return pydantic's message, or that of a validator of ours."""
    return details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")


def allowed(details: ErrorDetails, field: FieldInfo) -> str:
    """Say what *field* allows, which has refused a value."""
    numbers = _numbers(field)
    if numbers and not details["type"].startswith("value_error"):
        return numbers
    return "must be true or false" if details["type"].startswith("bool") else message(details)


def _numbers(field: FieldInfo) -> str:
    """Say which numbers *field* allows; nothing for one that is not a number with bounds."""
    parts = parts_of(field)
    bounds = {key: getattr(part, key) for part in parts for key in ("ge", "gt", "le") if hasattr(part, key)}
    if not bounds:
        return ""
    if ByteSize in parts:
        return f"must be a number of bytes of at least {bounds['ge']}, such as 20MiB"
    kind = "a number" if float in parts else "a whole number"
    low = f"above {bounds['gt']}" if "gt" in bounds else f"of at least {bounds['ge']}"
    most = f" and at most {bounds['le']}" if "le" in bounds else ""
    if most and "ge" in bounds:
        low, most = f"from {bounds['ge']}", f" to {bounds['le']}"
    return f"must be {kind} {low}{most}{f', in {UNITS_TEXT}' if DURATION in parts else ''}"
