# SPDX-License-Identifier: MIT
"""Makes the settings from all sources. An error is one line: the value, its source, and what is allowed."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ashapp.server.discovery.folder import find_target
from ashapp.server.errors import StartupError
from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.sources.variables import ALIASES, Given, read_settings, variable
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS
from ashapp.server.validation.kinds import SECRET
from ashapp.server.validation.record import Wrong, WrongValuesError, shown, suggestion

__all__ = ["flag", "load", "load_with_sources", "misspelt_variables"]

# A variable is taken for a misspelt setting if their names are this similar, from 0 to 1.
_SLIP = 0.8

_FIELDS = ServerSettings.fields

# The settings that ``bind`` replaces.
_ONE_ADDRESS = ("host", "port", "uds", "fd")


def load(flags: Mapping[str, Any]) -> Settings:
    """Return the settings of all sources; see `load_with_sources`."""
    return load_with_sources(flags)[0]


def load_with_sources(
    flags: Mapping[str, Any], kind: type[Settings] = ServerSettings
) -> tuple[Settings, Mapping[str, Given]]:
    """Return the settings of a *kind*, and the given values with their sources.

    *flags* holds what was given on the command line, by the settings' names.

    Where no application is named, the one in the current folder is taken, if there is one.
    Raises `StartupError` for a wrong value, an unknown key of the file or a file that can't be read.
    """
    given: dict[str, Given] = {}
    try:
        given = read_settings(_FIELDS, {name: Given(name, flags[name], _origin(name)) for name in flags})
        _require_one_way_to_listen(given)
        if "app" not in given and (target := find_target(Path.cwd())):
            given["app"] = Given("app", target, "found here")
        return kind(**{name: each.value for name, each in given.items()}), given
    except WrongValuesError as error:
        raise StartupError("; ".join(_explain(wrong, given[wrong.name]) for wrong in error.wrong)) from None
    except ValueError as error:
        raise StartupError(str(error)) from None


def misspelt_variables() -> list[str]:
    """Return a warning for each variable whose name is nearly that of a setting: it has no effect.

    In the file that is an error. Here it is none: other programs may have variables with the same prefix.
    """
    warnings = []
    prefix = variable("")
    names = {*_FIELDS, *ALIASES}
    for name in sorted(os.environ):
        setting = name.upper().removeprefix(prefix).removesuffix("_FILE").lower()
        if not name.upper().startswith(prefix) or setting in names:
            continue
        close = difflib.get_close_matches(setting, names, n=1, cutoff=_SLIP)
        if close:
            warnings.append(f"{name} is no setting, and has no effect; did you mean {variable(close[0])}?")
    return warnings


def flag(name: str) -> str:
    """Return the command-line option for a setting."""
    theirs = UVICORN_OPTIONS.get(name)
    return theirs.opts[0] if theirs else f"--{name.replace('_', '-')}"


def _require_one_way_to_listen(given: Mapping[str, Given]) -> None:
    """Refuse a flag that ``bind`` makes useless. Values from other sources give way to ``bind``."""
    for name in _ONE_ADDRESS:
        if "bind" in given and name in given and given[name].origin == flag(name):
            origin = given["bind"].origin
            raise ValueError(
                f"{flag(name)} and bind ({origin}) exclude each other: name all addresses by bind"
            )


def _origin(name: str) -> str:
    return "TARGET" if name == "app" else flag(name)


def _explain(wrong: Wrong, given: Given) -> str:
    if wrong.reason is None:
        is_table = isinstance(wrong.value, dict)
        hint = suggestion(wrong.name, ["mount"] if is_table else _FIELDS)
        if is_table and not hint:
            return f"{wrong.name!r} in the config file is a table: settings are in none, as in 'threads = 40'"
        return f"{wrong.name!r} in the config file is not a setting{hint}"
    value = "" if _FIELDS[wrong.name].kind is SECRET else f" = {shown(wrong.value)}"
    return f"{given.name}{value} ({given.origin}): {wrong.reason}"
