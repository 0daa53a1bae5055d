# SPDX-License-Identifier: MIT
"""The file of variables that a command reads before its settings."""

from pathlib import Path

import click
from dotenv import load_dotenv

from ashapp.server.errors import StartupError

__all__ = ["env_file_option", "read_env_file"]


def env_file_option() -> click.Option:
    """Return the option that names the file."""
    return click.Option(
        ["--env-file"],
        envvar="ASHAPP_ENV_FILE",
        metavar="PATH",
        help="File of variables (.env) that are set where the environment has none of that name.",
    )


def read_env_file(path: str | None) -> None:
    """Set the variables of the file, if one is named.

    Raises `StartupError` if there is no such file.
    """
    if path is not None:
        if not Path(path).is_file():
            raise StartupError(f"env_file = {path!r}: there is no such file")
        load_dotenv(path)
