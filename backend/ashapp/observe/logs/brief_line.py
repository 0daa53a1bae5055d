# SPDX-License-Identifier: MIT
"""The access log as a developer reads it: one line of at most 100 columns for each request."""

import time

from ashapp.observe.logs.formats import printable
from ashapp.observe.observation import Observation

__all__ = ["brief_line"]

_WIDTH = 100
# The longest error and target that leave room for each other.
_LONGEST_ERROR = 30

# These are no errors of the application.
_NAMES = {"CancelledError": "(cut)"}

# ANSI colours by the first digit of a status: none, green, cyan, yellow and red.
_COLOURS = {1: "", 2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31;1m"}
_FAINT, _RED, _END = "\x1b[2m", "\x1b[31m", "\x1b[0m"


def brief_line(observation: Observation, now: float, *, colors: bool) -> str:
    """Return the line of a request that has ended *now*.

    It has the time of day, the status, the time that it took, where it ran, method and target, and the error.
    """
    scope = observation.scope
    query = f"?{observation.query}" if observation.query else ""
    target = printable(f"{scope['path']}{query}")
    status = observation.status
    place = {"loop": "loop", "thread": "thread"}.get(observation.place or "", "-")
    before = (
        f"{time.strftime('%H:%M:%S', time.localtime(now))}  ",
        "gone" if status is None else f"{status} ",
        f"  {_span(observation.duration):>6}  {place:<6}  ",
        f"{scope.get('method', 'WS'):<6} ",
    )
    error = observation.failure
    told = "" if error is None else f"  {_cut(printable(_NAMES.get(error, error)), _LONGEST_ERROR)}"
    target = _cut(target, _WIDTH - sum(map(len, before)) - len(told))
    clock, shown, middle, method = before
    if colors:
        clock, middle = f"{_FAINT}{clock}{_END}", f"{_FAINT}{middle}{_END}"
        shown = f"{_COLOURS.get((status or 0) // 100, _RED)}{shown}{_END}"
        told = told and f"{_RED}{told}{_END}"
    return f"{clock}{shown}{middle}{method}{target}{told}\n"


def _span(seconds: float) -> str:
    """Return a time in at most six characters."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 1000 else f"{seconds / 60:.0f} m"


def _cut(text: str, width: int) -> str:
    """Return *text* with an ellipsis in its middle if it is longer than *width*."""
    if len(text) <= width:
        return text
    return f"{text[: width // 2]}…{text[len(text) - width + width // 2 + 1 :]}"
