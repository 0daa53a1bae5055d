# SPDX-License-Identifier: MIT
"""The command ``migrate``."""

from pathlib import Path

import click

from ashapp.server.cli.options import ServeCommand
from ashapp.server.gunicorn.settings_file import read_gunicorn_file, settings_file

__all__ = ["migrate"]


@click.command(cls=ServeCommand, epilog="")
@click.argument("path", metavar="[FILE]", default="gunicorn.conf.py", type=click.Path(path_type=Path))
def migrate(path: Path) -> None:
    """Print the settings file for a configuration file of gunicorn.

    FILE is gunicorn.conf.py if none is named. It is Python, and is run. What has no counterpart is named in
    comments, with what to do instead. Write the output to a file for 'ashapp serve --config'.
    """
    click.echo(settings_file(read_gunicorn_file(path), str(path)), nl=False)
