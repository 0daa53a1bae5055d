# SPDX-License-Identifier: MIT
"""The sources of settings, and which source wins.

The order, the strongest first: command-line flags; ``ASHAPP_<NAME>``; ``ASHAPP_<NAME>_FILE``, a file that
holds the value (as Docker and Kubernetes mount a Secret); the variables in `CUSTOMARY`; the TOML file that
``--config`` or ``ASHAPP_CONFIG`` names. Empty variables count as absent.

``ashapp check`` reads some settings without their model, so only the standard library is imported here.
"""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["ALIASES", "CUSTOMARY", "Given", "read_settings", "variable"]

#: Variables that platforms and other servers use for the same settings.
CUSTOMARY: Mapping[str, str] = {
    "app": "FLASK_APP",
    "workers": "WEB_CONCURRENCY",
    "port": "PORT",
    "forwarded_allow_ips": "FORWARDED_ALLOW_IPS",
}

#: Other names of settings: those of uvicorn.
ALIASES: Mapping[str, str] = {"limit_concurrency": "limit_in_flight"}

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


class Given(NamedTuple):
    """A value for a setting, the name by which it was given, and where."""

    name: str
    value: Any
    origin: str


def variable(name: str) -> str:
    """Return the name of the environment variable for a setting."""
    return f"ASHAPP_{name.upper()}"


def read_settings(names: Iterable[str], flags: Mapping[str, Given] | None = None) -> dict[str, Given]:
    """Return the values that are given for the settings *names*, and all of the TOML file; *flags* win.

    Raises:
        ValueError: a file can't be read, or a value is given twice.
    """
    given = dict(flags or {})
    # Their names may be in lower case.
    variables = {key.upper(): value for key, value in os.environ.items() if key.upper().startswith("ASHAPP_")}
    for name in ("config", *names, *ALIASES):
        found = _from_environment(name, variables)
        if found is not None:
            given.setdefault(name, found)
    if "config" in given:
        given = {**_from_file(given["config"]), **given}
    for alias, name in ALIASES.items():
        if alias in given:
            found = given.pop(alias)
            if str(given.setdefault(name, found).value) != str(found.value):
                raise ValueError(f"{alias} is another name of {name}: give one of the two")
    return given


def _from_environment(name: str, variables: Mapping[str, str]) -> Given | None:
    ours, path_variable = variable(name), f"{variable(name)}_FILE"
    value, path = variables.get(ours), variables.get(path_variable)
    if value and _is_service_link(ours, value):
        value = None
    if value and path:
        raise ValueError(f"{ours} and {path_variable} are both set: set one of them")
    if value:
        return Given(name, value, ours)
    if path:
        try:
            return Given(name, Path(path).read_text(encoding="utf-8").rstrip("\r\n"), path_variable)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValueError(
                f"{path_variable} = {path!r}: the file can't be read ({reason}); it must hold the {name}"
            ) from None
    customary = CUSTOMARY.get(name, "")
    return Given(name, os.environ[customary], customary) if os.environ.get(customary) else None


def _is_service_link(name: str, value: str) -> bool:
    """Say whether the variable *name* is what Kubernetes sets for a Service, not a port to listen on.

    A Service named "ashapp" or "ashapp-management" sets ``ASHAPP_PORT`` or ``ASHAPP_MANAGEMENT_PORT`` (see
    "service links") to a URL.
    """
    return name.endswith("_PORT") and _SERVICE_LINK.match(value) is not None


def _from_file(config: Given) -> dict[str, Given]:
    import tomllib  # noqa: PLC0415 - for those who use it

    path = str(config.value)
    try:
        values = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"config = {path!r} ({config.origin}): the file can't be read ({error.strerror}); "
            "it must be a TOML file of settings"
        ) from None
    except ValueError as error:  # it is no TOML, or not UTF-8
        raise ValueError(
            f"config = {path!r} ({config.origin}): the file is not TOML ({error}); "
            "it must be a TOML file of settings"
        ) from None
    return {name: Given(name, value, "config file") for name, value in values.items()}
