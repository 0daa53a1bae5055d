# SPDX-License-Identifier: MIT
"""Starts the service of a command line, or only checks it, or prints its settings."""

import os
from pathlib import Path
from typing import Any

import click
from flask.cli import ScriptInfo

from ashapp.server.cli import prestart
from ashapp.server.cli.options import read_env_file
from ashapp.server.discovery.folder import find_target
from ashapp.server.errors import StartupError
from ashapp.server.operating_system.init_process import below_init
from ashapp.server.operating_system.signals import outlive
from ashapp.server.settings.listing import list_settings
from ashapp.server.settings.loading import load_with_sources
from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.supervisors.runner import check, run

__all__ = ["flask_target", "start"]


def flask_target(info: ScriptInfo) -> str:
    """Return the name of the application that Flask's own commands would load."""
    if info.app_import_path:
        return info.app_import_path
    if info.create_app is not None:
        return f"{info.create_app.__module__}:{info.create_app.__qualname__}()"
    target = find_target(Path.cwd())
    if target is None:
        raise StartupError(
            "no application is named: use 'flask --app', FLASK_APP, or a file wsgi.py or app.py here"
        )
    return target


def start(
    ctx: click.Context, flags: dict[str, Any], env_file: str | None, kind: type[Settings] = ServerSettings
) -> None:
    """Start what the options in *ctx* ask for, with settings of a *kind*, and exit when it has ended."""
    read_env_file(env_file)
    # ``--check`` looks at production, also with a developer's settings.
    settings, sources = load_with_sources(flags, ServerSettings if ctx.params["check"] else kind)
    if ctx.params["print_config"]:
        click.echo("\n".join(list_settings(settings, sources)), nl=False)
        ctx.exit()
    try:
        code = _check_only(settings) if ctx.params["check"] else _run(settings)
    except StartupError as error:
        error.show_cause(settings.log_level)
        raise
    ctx.exit(code)


def _check_only(settings: Settings) -> int:
    for warning in check(settings):
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"ok: {settings.app} can be served")
    return 0


def _run(settings: Settings) -> int:
    code = below_init() if os.getpid() == 1 else None
    outlive()
    if settings.umask is not None:
        os.umask(settings.umask)
    if code is None:
        code = prestart.run(settings.prestart) or run(settings)
    return code
