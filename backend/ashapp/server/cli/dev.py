# SPDX-License-Identifier: MIT
"""The command ``dev``, of ours and of Flask's own command line."""

from typing import Any

import click
from flask.cli import ScriptInfo

from ashapp.server.cli.options import CONTEXT, SERVE_OPTIONS, ServeCommand, given, target_argument
from ashapp.server.cli.start import flask_target, start
from ashapp.server.settings.development import DevelopmentSettings

__all__ = ["dev", "flask_dev"]


class _DevCommand(ServeCommand):
    """Takes every option of ``serve``; its help page has those that a developer may want."""

    kind = DevelopmentSettings
    sections = frozenset({"Options", "Listening", "Reloading", "Logging"})


@click.command("dev", cls=_DevCommand, params=[target_argument(), *SERVE_OPTIONS], context_settings=CONTEXT)
@click.pass_context
def dev(ctx: click.Context, /, env_file: str | None, **_: Any) -> None:
    """Serve TARGET for its developer, on this machine alone.

    It starts anew when a file changes. An error is shown in the terminal and in the browser, with a console
    behind the PIN that is told at the start. So is why the application can't be imported, until that is
    mended. TARGET is found as by 'serve', all of whose options are taken.
    """
    start(ctx, given(ctx), env_file, DevelopmentSettings)


@click.command("dev", cls=_DevCommand, params=list(SERVE_OPTIONS), context_settings=CONTEXT)
@click.pass_context
def flask_dev(ctx: click.Context, /, env_file: str | None, **_: Any) -> None:
    """Serve the application for its developer, with reloads and the debugger."""
    app = flask_target(ctx.ensure_object(ScriptInfo))
    start(ctx, {**given(ctx), "app": app}, env_file, DevelopmentSettings)
