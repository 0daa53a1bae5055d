# SPDX-License-Identifier: MIT
"""The error that refuses a start, and exceptions of an application told in one line."""

import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import click

__all__ = ["StartupError", "describe"]

_PACKAGE = f"{Path(__file__).parent}/"


class StartupError(click.ClickException):
    """The service can't start: one line for the person who started it, exit code 2.

    The exception that it was raised from, if any, is the cause in the application's own code.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show_cause(self, log_level: str) -> None:
        """Write the traceback of the cause, if there is one, where *log_level* asks for it."""
        if log_level in {"debug", "trace"} and self.__cause__ is not None:
            traceback.print_exception(self.__cause__)


def describe(error: BaseException, clean: Callable[[str], str] = str) -> str:
    """Return the type and the text of *error*, and the line of the application that it comes from.

    *clean* is applied to the text. An exception whose ``__str__`` fails has none.
    """
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    try:
        text = str(error)
    except Exception:
        text = ""
    told = f"{type(error).__name__}: {clean(text)}".rstrip(": ")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<frozen", _PACKAGE))
    ]
    own = [frame for frame in frames if not frame.filename.startswith(_installed())]
    return f"{told} ({(own or frames)[-1].filename}, line {(own or frames)[-1].lineno})" if frames else told


@cache
def _installed() -> tuple[str, ...]:
    """Return the folders of what is installed, which no start needs."""
    import sysconfig  # noqa: PLC0415 - it reads all that is known of how Python was built

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(f"{sysconfig.get_path(name)}/" for name in names)
