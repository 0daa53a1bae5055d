# SPDX-License-Identifier: MIT
"""Describe an exception of an application's own code in one line."""

import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path

__all__ = ["describe"]

_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib", "purelib", "platlib"))
_PACKAGE = f"{Path(__file__).parent}/"


def describe(error: BaseException, clean: Callable[[str], str] = str) -> str:
    """Return the exception's type and text, and the file and line of the application where it came from.

    The text is what *clean* makes of it; there is none where the exception can't tell.
    """
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    text = f"{type(error).__name__}: {clean(_text(error))}".rstrip(": ")
    frame = _frame(error)
    return f"{text} ({frame.filename}, line {frame.lineno})" if frame else text


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""


def _frame(error: BaseException) -> traceback.FrameSummary | None:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", _PACKAGE))
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_INSTALLED)]
    return (own or frames)[-1] if frames else None
