# SPDX-License-Identifier: MIT
"""The one way in which a start is refused."""

import traceback
from typing import IO, Any

import click

__all__ = ["StartupError"]


class StartupError(click.ClickException):
    """The service can't start as it is told to: one line for the person who started it, exit code 2.

    The exception that it was raised from, if any, is the cause in the application's own code.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the line to standard error."""
        click.echo(f"Error: {self.message}", file=file, err=file is None)

    def show_cause(self, log_level: str) -> None:
        """Write the traceback of the cause, if there is one, where *log_level* asks for it."""
        if log_level in {"debug", "trace"} and self.__cause__ is not None:
            traceback.print_exception(self.__cause__)
