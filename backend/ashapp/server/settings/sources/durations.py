# SPDX-License-Identifier: MIT
"""Spans of time as people write them: ``500ms``, ``30s``, ``2m``, ``1h``, or plain seconds."""

import re

__all__ = ["UNITS_TEXT", "seconds_of"]

#: What is said of them where one is wrong.
UNITS_TEXT = "seconds, or with a unit: 500ms, 30s, 2m, 1h"

_SPAN = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds_of(text: str) -> float | None:
    """Return the seconds of a span that has a unit, None for any other text."""
    match = _SPAN.fullmatch(text.strip().lower())
    # Of a product such as 3 * 0.001 no more digits are meant.
    return None if match is None else round(float(match[1]) * _SECONDS[match[2]], 6)
