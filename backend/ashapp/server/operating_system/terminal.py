# SPDX-License-Identifier: MIT
"""Whether colours are wanted: https://no-color.org and https://force-color.org."""

import os
from typing import IO

__all__ = ["wants_colors"]


def wants_colors(stream: IO[str]) -> bool:
    """Say whether what is written to *stream* should have colours: NO_COLOR wins, then FORCE_COLOR."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")
