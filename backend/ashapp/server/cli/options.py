# SPDX-License-Identifier: MIT
"""The command-line options of ``serve``: one for each setting, by uvicorn's names where it has one."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource
from pydantic import ByteSize
from pydantic.fields import FieldInfo

from ashapp.server.cli.env_file import env_file_option
from ashapp.server.errors import StartupError
from ashapp.server.settings import ServerSettings
from ashapp.server.settings.loading import flag
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS

__all__ = ["ServeCommand", "given", "serve_options"]

# The target is an argument, and a secret must not show up in a list of processes.
_NOT_A_FLAG = frozenset({"app", "secret_key"})

# Sections of the help page, by how the names of their settings begin; the first that fits.
_SECTIONS = (
    ("Listening", ("host", "port", "uds", "fd", "backlog")),
    (
        "Workers",
        ("workers", "thread", "async", "supervisor", "timeout_worker", "stall_timeout", "limit_max"),
    ),
    (
        "Stopping",
        ("drain_delay", "timeout_graceful_shutdown", "timeout_lifespan_shutdown", "termination_grace"),
    ),
    ("Reloading", ("reload",)),
    ("Probes", ("probes", "livez", "readyz", "healthz")),
    ("Management", ("management", "readiness")),
    ("Limits and time-outs", ("limit_", "timeout_", "request_timeout", "min_body_rate", "read_ahead")),
    ("Behind a proxy", ("root_path", "proxy_headers", "forwarded", "allowed_hosts")),
    ("HTTP", ("http", "header", "server_header", "date_header", "h11")),
    ("TLS", ("ssl",)),
    ("WebSocket", ("ws",)),
    ("Logging", ("log", "loop_guard", "access_log", "use_colors")),
)

_METAVARS: Mapping[Any, str] = {
    int: "INTEGER",
    int | None: "INTEGER",
    int | Literal["off"]: "INTEGER|off",
    float | None: "SECONDS",
    float: "SECONDS",
    ByteSize: "SIZE",
    ByteSize | None: "SIZE",
}

_EPILOG = """\
Each option is also a variable (--log-level is ASHAPP_LOG_LEVEL), a variable ASHAPP_<NAME>_FILE that names a
file with the value, and a key of the TOML file (log_level). The flag wins, then the variable, then the file.
WEB_CONCURRENCY (workers), PORT, FORWARDED_ALLOW_IPS and FLASK_APP are honoured. A SECRET_KEY is given as
ASHAPP_SECRET_KEY or ASHAPP_SECRET_KEY_FILE."""


class ServeCommand(click.Command):
    """A command that tells a wrong option in one line, and whose help page has sections."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"epilog": _EPILOG, **kwargs})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as click does; raise `StartupError` where click would print how to use the command."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise StartupError(error.format_message()) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {name: [] for name, _ in (("Options", ()), *_SECTIONS)}
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        for option in options:
            record = option.get_help_record(ctx)
            if record is not None:
                sections[_section(option.name or "")].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def serve_options() -> list[click.Parameter]:
    """Return the options, in the order of the settings.

    They hand over text as it was typed: the settings validate it, wherever it comes from.
    """
    fields = ServerSettings.model_fields.items()
    return [env_file_option(), *(_option(name, field) for name, field in fields if name not in _NOT_A_FLAG)]


def given(ctx: click.Context) -> dict[str, Any]:
    """Return the settings that were given on the command line.

    Under Flask's own command line its variables (``FLASK_SERVE_PORT``) count as flags, as for its commands.
    """
    return {
        name: value
        for name, value in ctx.params.items()
        if name in ServerSettings.model_fields
        and ctx.get_parameter_source(name) in {ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT}
    }


def _option(name: str, field: FieldInfo) -> click.Option:
    theirs = UVICORN_OPTIONS.get(name)
    help_text = " ".join(_help(field, theirs))
    if (theirs and theirs.is_flag) or field.annotation in {bool, bool | None}:
        long = flag(name)
        return click.Option([name, f"{long}/{long.replace('--', '--no-', 1)}"], default=None, help=help_text)
    return click.Option(
        [name, flag(name)],
        metavar=_metavar(field, theirs),
        multiple=bool(theirs and theirs.multiple),
        help=help_text,
    )


def _help(field: FieldInfo, theirs: click.Option | None) -> Iterator[str]:
    text = field.description or (theirs.help if theirs else "") or ""
    yield text
    default = field.default
    if default is None and theirs and theirs.show_default and not theirs.multiple:
        default = theirs.default
    if default is not None and default != "" and "default" not in text.lower():
        yield f"[default: {_shown(default)}]"


def _shown(default: object) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return str(default)


def _metavar(field: FieldInfo, theirs: click.Option | None) -> str:
    for annotation in (field.annotation, *get_args(field.annotation)[:1]):
        if get_origin(annotation) is Literal:
            return f"[{'|'.join(map(str, get_args(annotation)))}]"
    if theirs is not None:
        return theirs.metavar or theirs.type.name.upper()
    return _METAVARS.get(field.annotation, "TEXT")


def _section(name: str) -> str:
    return next((title for title, beginnings in _SECTIONS if name.startswith(beginnings)), "Options")
