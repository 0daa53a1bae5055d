# SPDX-License-Identifier: MIT
"""The command-line options of ``serve``: one for each setting, by uvicorn's names where it has one."""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any, cast

import click
from click.core import ParameterSource

from ashapp.server.cli.completion import complete_target, complete_value
from ashapp.server.errors import StartupError
from ashapp.server.settings.loading import flag
from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.sources.env_files import read_env_files
from ashapp.server.settings.sources.variables import ALIASES
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS
from ashapp.server.validation.kinds import FLAG, Kind
from ashapp.server.validation.record import Field, Record

__all__ = [
    "CONTEXT",
    "SERVE_OPTIONS",
    "ServeCommand",
    "descriptions",
    "env_file_option",
    "given",
    "read_env_file",
    "target_argument",
]

# The target is an argument, and a secret must not show up in a list of processes.
_NOT_A_FLAG = frozenset({"app", "secret_key"})

#: click's settings for each command.
CONTEXT: Mapping[str, Any] = {"help_option_names": ["-h", "--help"]}

_SHORT: Mapping[str, tuple[str]] = {"bind": ("-b",), "port": ("-p",), "workers": ("-w",)}
_FIELDS = ServerSettings.fields

_EPILOG = """\
Each option is also a variable (--log-level is ASHAPP_LOG_LEVEL), a variable ASHAPP_<NAME>_FILE that names a
file with the value, and a key of the TOML file (log_level). The flag wins, then the variable, then the file.
A duration is in seconds, or has a unit: 500ms, 30s, 2m, 1h.
WEB_CONCURRENCY (workers), PORT, FORWARDED_ALLOW_IPS and FLASK_APP are honoured. A SECRET_KEY is given as
ASHAPP_SECRET_KEY or ASHAPP_SECRET_KEY_FILE."""


class ServeCommand(click.Command):
    """A command that tells a wrong option in one line, and whose help page has sections."""

    #: The settings whose defaults are shown, and the sections that are, all of them if that is None.
    kind: type[Settings] = ServerSettings
    sections: frozenset[str] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"epilog": _EPILOG, **kwargs})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; raise `StartupError` where click would print how to use the command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if ctx.resilient_parsing:  # a shell asks for what to complete
                raise
            raise StartupError(_explain(error)) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx) if isinstance(option, click.Option) else None
            if record is not None:
                sections.setdefault(_section(option.name or ""), []).append(record)
        for title, records in sections.items():
            if self.sections is not None and title not in self.sections:
                continue
            with formatter.section(title):
                formatter.write_dl(records)


def _explain(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        from ashapp.server.gunicorn.familiar_options import what_is_here  # noqa: PLC0415 - no start needs it

        if known := what_is_here(error.option_name):
            return f"No such option {error.option_name!r}. It is {known}"
    return error.format_message()


def target_argument() -> click.Argument:
    """Return the argument that names the application."""
    return click.Argument(["app"], required=False, metavar="[TARGET]", shell_complete=complete_target)


def env_file_option() -> click.Option:
    """Return the option that names a file of variables, which is read before the settings."""
    return click.Option(
        ["--env-file"],
        envvar="ASHAPP_ENV_FILE",
        metavar="PATH",
        help="File of variables (.env) that are set where the environment has none of that name.",
    )


def read_env_file(path: str | None) -> None:
    """Set the variables of the file, if one is named, of ``.env`` and of ``.flaskenv``.

    Raises `StartupError` if there is no such file.
    """
    try:
        read_env_files(path)
    except ValueError as error:
        raise StartupError(str(error)) from None


def given(ctx: click.Context) -> dict[str, Any]:
    """Return the settings that were given on the command line.

    Below Flask's own command line, its variables such as ``FLASK_SERVE_PORT`` count as flags too.
    """
    return {
        name: value
        for name, value in ctx.params.items()
        if (name in _FIELDS or name in ALIASES)
        and ctx.get_parameter_source(name) in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
    }


class _Option(click.Option):
    """The option of a setting, which is described when its help is asked for."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        kind = ctx.command.kind if isinstance(ctx.command, ServeCommand) else ServerSettings
        self.help = " ".join(_help(self.name or "", kind))
        return super().get_help_record(ctx)


def _option(name: str, field: Field) -> click.Option:
    if field.kind is FLAG:
        long = flag(name)
        return _Option([name, f"{long}/{long.replace('--', '--no-', 1)}"], default=None)
    return _Option(
        [name, *_SHORT.get(name, ()), flag(name)],
        metavar=_metavar(field.kind, UVICORN_OPTIONS.get(name)),
        shell_complete=complete_value,
        multiple=field.kind.is_several,
    )


def _alias(name: str, setting: str) -> click.Option:
    metavar = _metavar(_FIELDS[setting].kind, None)
    return click.Option([name, flag(name)], metavar=metavar, help=f"uvicorn's name for {flag(setting)}.")


def _help(name: str, kind: type[Settings]) -> Iterator[str]:
    field, theirs = kind.fields[name], UVICORN_OPTIONS.get(name)
    text = descriptions().get(name) or (theirs.help if theirs else "") or ""
    yield text
    default = None if field.derive else field.default
    if default is None and theirs and theirs.show_default and not theirs.multiple:
        default = theirs.default
    if isinstance(default, bool):
        default = "on" if default else "off"
    if default is not None and default != "" and "default" not in text.lower():
        yield f"[default: {default}]"


@cache
def descriptions() -> Mapping[str, str]:
    """Return what each setting is for, by its name: the docstring below it. uvicorn describes the others.

    The source is read only when help is asked for: at each start it would be half of the settings' cost.
    """
    modules = {sys.modules[group.__module__] for group in Settings.__bases__}
    return {
        name: text for module in modules for name, text in _described(ast.parse(inspect.getsource(module)))
    }


def _described(tree: ast.Module) -> Iterator[tuple[str, str]]:
    groups = [statement for statement in tree.body if isinstance(statement, ast.ClassDef)]
    for field, after in (pair for group in groups for pair in pairwise(group.body)):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match after:
                case ast.Expr(ast.Constant(str(text))):
                    yield field.target.id, inspect.cleandoc(text)


def _metavar(kind: Kind, theirs: click.Option | None) -> str:
    return kind.metavar or (theirs and (theirs.metavar or theirs.type.name.upper())) or "TEXT"


def _section(name: str) -> str:
    """Return the title of a setting's group; another option of uvicorn is in the group with its prefix."""
    name = ALIASES.get(name, name)
    family = f"{name.partition('_')[0]}_"
    groups = cast("tuple[type[Record], ...]", Settings.__bases__)[::-1]
    own = [group for group in groups if name in group.fields]
    likes = [group for group in groups if any(other.startswith(family) for other in group.fields)]
    return next((group.title for group in own or likes), "Options")


#: The options of ``serve``: a few of its own, and one for each setting, in their order. Values are passed on
#: as they were typed: the settings validate them, wherever they come from.
SERVE_OPTIONS: Sequence[click.Parameter] = (
    env_file_option(),
    click.Option(["--check"], is_flag=True, help="Import the application, but serve nothing."),
    click.Option(
        ["--print-config"],
        is_flag=True,
        help="Print a file for --config that has every setting, and where its value comes from.",
    ),
    *(_option(name, field) for name, field in _FIELDS.items() if name not in _NOT_A_FLAG),
    *(_alias(name, setting) for name, setting in ALIASES.items()),
)
