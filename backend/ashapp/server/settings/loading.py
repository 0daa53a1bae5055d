# SPDX-License-Identifier: MIT
"""Make the settings from all their sources, or one line that says what is wrong and where it came from."""

import difflib
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ByteSize, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from ashapp.server.errors import StartupError
from ashapp.server.settings import ServerSettings, Settings
from ashapp.server.settings.sources import CUSTOMARY, Environment, variable
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS

__all__ = ["flag", "load", "misspelt_variables"]

_LONGEST_VALUE = 100

# How alike the names of a variable and of a setting must be, from 0 to 1, for one to be a slip of the other.
_SLIP = 0.8


def load(flags: Mapping[str, Any]) -> Settings:
    """Return the settings; ``flags`` holds what was given on the command line, by the settings' names.

    Raises `StartupError` for a wrong value, an unknown key of the file or a file that can't be read.
    """
    try:
        return ServerSettings(**flags)
    except ValidationError as error:
        lines = [_explain(details, flags) for details in error.errors(include_url=False)]
        # A setting whose value fits none of its types is listed once for each of them.
        raise StartupError("; ".join(dict.fromkeys(lines))) from None


def misspelt_variables() -> list[str]:
    """Return one warning for each variable that is none of a setting, but nearly: it has no effect.

    No error, as with the file: others may have variables that begin alike, for their own use.
    """
    warnings = []
    prefix = variable("")
    for name in sorted(os.environ):
        setting = name.upper().removeprefix(prefix).removesuffix("_FILE").lower()
        if not name.upper().startswith(prefix) or setting in ServerSettings.model_fields:
            continue
        close = difflib.get_close_matches(setting, ServerSettings.model_fields, n=1, cutoff=_SLIP)
        if close:
            warnings.append(f"{name} is no setting, and has no effect; did you mean {variable(close[0])}?")
    return warnings


def flag(name: str) -> str:
    """Return the command-line option for a setting."""
    theirs = UVICORN_OPTIONS.get(name)
    return theirs.opts[0] if theirs else f"--{name.replace('_', '-')}"


def _explain(details: ErrorDetails, flags: Mapping[str, Any]) -> str:
    if not details["loc"]:
        return _allowed(details)
    name = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return f"{name!r} in the config file is not a setting{_suggestion(name)}"
    value = "" if _is_secret(name) else f" = {_shortened(details['input'])}"
    return f"{name}{value} ({_origin(name, flags)}): {_allowed(details, name)}"


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name.replace("-", "_").lower(), ServerSettings.model_fields, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _origin(name: str, flags: Mapping[str, Any]) -> str:
    if name in flags:
        return "TARGET" if name == "app" else flag(name)
    if variable(name).lower() in Environment(ServerSettings).env_vars:
        return variable(name)
    others = (f"{variable(name)}_FILE", CUSTOMARY.get(name, ""))
    return next((other for other in others if os.environ.get(other)), "config file")


def _is_secret(name: str) -> bool:
    return ServerSettings.model_fields[name].annotation == SecretStr | None


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _allowed(details: ErrorDetails, name: str = "") -> str:
    bounds = _bounds(name)
    if bounds and not details["type"].startswith("value_error"):
        return bounds
    if details["type"].startswith("bool"):
        return "must be true or false"
    message = details["msg"].removeprefix("Value error, ")
    return message.replace("Input should be", "must be")


def _bounds(name: str) -> str:
    """Say which numbers a setting allows; nothing for one that is not a number with bounds."""
    if name not in ServerSettings.model_fields:
        return ""
    field = ServerSettings.model_fields[name]
    limits = {
        key: getattr(item, key) for item in field.metadata for key in ("ge", "gt", "le") if hasattr(item, key)
    }
    if not limits:
        return ""
    if field.annotation in {ByteSize, ByteSize | None}:
        return f"must be a number of bytes of at least {limits['ge']}, such as 20MiB"
    kind = "a whole number" if field.annotation in {int, int | None} else "a number"
    if "gt" in limits:
        return f"must be {kind} above {limits['gt']}"
    if "le" in limits:
        return f"must be {kind} from {limits['ge']} to {limits['le']}"
    return f"must be {kind} of at least {limits['ge']}"
