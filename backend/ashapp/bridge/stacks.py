# SPDX-License-Identifier: MIT
"""Stacks of threads: file names, line numbers and source lines, without any values."""

import sys
import threading
import traceback
from types import FrameType

__all__ = ["format_stack", "frame_of", "other_stacks", "stack_of"]


def frame_of(thread: int) -> FrameType | None:
    """Return the innermost frame of the thread with that identifier; None if it has ended."""
    return sys._current_frames().get(thread)  # noqa: SLF001 - documented, in spite of its name


def format_stack(frame: FrameType | None) -> str:
    """Return the stack that ends at *frame*, outermost call first."""
    return _formatted(_lines(frame))


def stack_of(thread: int) -> str:
    """Return the stack of the thread with that identifier, outermost call first; empty if it has ended."""
    return format_stack(frame_of(thread))


def other_stacks() -> str:
    """Return the stacks of all threads but this one, each below the name of its thread."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()  # noqa: SLF001 - documented, in spite of its name
    del frames[threading.get_ident()]
    stacks = {ident: _lines(frame) for ident, frame in frames.items()}
    return "\n".join(
        f"Thread {names.get(ident, ident)}, the innermost call last:\n{_formatted(stack)}"
        for ident, stack in stacks.items()
    )


def _lines(frame: FrameType | None) -> list[tuple[FrameType, int]]:
    """Return the frames with the lines that they are at: the thread runs on while the source is read."""
    return [] if frame is None else list(traceback.walk_stack(frame))


def _formatted(stack: list[tuple[FrameType, int]]) -> str:
    return "".join(traceback.StackSummary.extract(reversed(stack)).format()).rstrip()
