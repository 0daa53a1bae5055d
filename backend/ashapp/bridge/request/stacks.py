# SPDX-License-Identifier: MIT
"""What a thread is doing, as a stack of file names, line numbers and source lines, without any values."""

import sys
import traceback

__all__ = ["stack_of"]


def stack_of(thread: int) -> str:
    """Return the stack of the thread with that identifier, outermost call first; empty if it has ended."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name
    return "" if frame is None else "".join(traceback.format_stack(frame))
