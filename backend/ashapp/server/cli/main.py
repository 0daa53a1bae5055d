# SPDX-License-Identifier: MIT
"""The command ``ashapp``, and ``serve`` as a command of Flask's own command line."""

import difflib
import pkgutil
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from flask.cli import ScriptInfo

from ashapp import __version__
from ashapp.server.cli.completion import complete_application
from ashapp.server.cli.options import CONTEXT, SERVE_OPTIONS, ServeCommand, given, target_argument
from ashapp.server.cli.start import flask_target, start
from ashapp.server.errors import StartupError

__all__ = ["flask_serve", "main", "serve"]


# Commands that are imported only when they are run: a service needs none of them.
_ELSEWHERE: Mapping[str, str] = {
    "dev": "ashapp.server.cli.dev:dev",
    "migrate": "ashapp.server.cli.migrate:migrate",
    "routes": "ashapp.server.cli.routes:routes",
    **{name: f"ashapp.server.cli.control:{name}" for name in ("reload", "scale", "stacks", "status")},
}

# Commands of other tools, such as Flask's, and ours in their place.
_HABITS: Mapping[str, list[str]] = {"run": ["dev"], "start": ["serve"]}


class _Group(click.Group):
    """A group whose command is ``serve`` where a target or an option is given: ``ashapp module:app``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        commands = self.list_commands(ctx)
        if args and args[0] not in {*commands, "--version", *ctx.help_option_names}:
            is_unknown = not (args[0].startswith("-") or _is_target(args[0]))
            if is_unknown and not ctx.resilient_parsing:
                raise StartupError(_no_command(args[0], commands))
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        targets = complete_application(incomplete) if incomplete else []
        return [*super().shell_complete(ctx, incomplete), *targets]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _ELSEWHERE.get(cmd_name)
        found: click.Command | None = (
            pkgutil.resolve_name(place) if place else super().get_command(ctx, cmd_name)
        )
        return found


def _is_target(word: str) -> bool:
    return not word.isidentifier() or Path(word).is_dir() or Path(f"{word}.py").is_file()


def _no_command(word: str, commands: Iterable[str]) -> str:
    close = _HABITS.get(word) or difflib.get_close_matches(word, commands, n=1)
    nearest = f", did you mean {close[0]!r}?" if close else ": ashapp --help lists them."
    return f"there is no command {word!r}{nearest} A module is served by 'ashapp serve {word}'"


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's call
    if value and not ctx.resilient_parsing:
        others = ", ".join(f"{name} {metadata.version(name)}" for name in ("flask", "uvicorn"))
        click.echo(f"ashapp {__version__} (Python {platform.python_version()}, {others})")
        ctx.exit()


@click.group(cls=_Group, context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions and exit.",
)
def main() -> None:
    """Run a Flask application, unchanged, as an async ASGI service."""


@main.command(
    cls=ServeCommand,
    params=[target_argument(), *SERVE_OPTIONS],
)
@click.pass_context
def serve(ctx: click.Context, /, env_file: str | None, **_: Any) -> None:
    """Serve TARGET, or the application of this folder.

    Without a TARGET it is the one that 'flask run' would find: of ASHAPP_APP, FLASK_APP (also in
    .flaskenv or .env), wsgi.py or app.py; or Django's beside manage.py. Where there is no code at
    all, it is the reference API.

    TARGET is a module, 'module:name', 'module:factory("argument")' or the path of a file. It may be a
    Flask application, any WSGI callable, or a factory of one.
    """
    start(ctx, given(ctx), env_file)


def _complete_kind(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(kind) for kind in ("ready", "live", "http") if kind.startswith(incomplete)]


class _Check(click.Command):
    """A command that reads its arguments itself."""

    def shell_complete(self, _: click.Context, incomplete: str) -> list[CompletionItem]:
        flags = ("--port", "--timeout", "--help")
        return [CompletionItem(each) for each in flags if each.startswith(incomplete)]


@main.command(
    "check",
    cls=_Check,
    short_help="Probe a service: exit code 0 if it is well.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, shell_complete=_complete_kind)
@click.pass_context
def _check(ctx: click.Context, /, arguments: tuple[str, ...]) -> None:
    from ashapp.server.cli import check  # noqa: PLC0415 - as a rule without this module: see ashapp.__main__

    ctx.exit(check.main(arguments))


@click.command("serve", cls=ServeCommand, params=list(SERVE_OPTIONS), context_settings=CONTEXT)
@click.pass_context
def flask_serve(ctx: click.Context, /, env_file: str | None, **_: Any) -> None:
    """Serve the application with uvicorn, as an async service."""
    app = flask_target(ctx.ensure_object(ScriptInfo))
    start(ctx, {**given(ctx), "app": app}, env_file)
