# SPDX-License-Identifier: MIT
"""Where settings are read from, and what is said of a wrong one.

The order, the strongest first: command-line flags; ``ASHAPP_<NAME>``; ``ASHAPP_<NAME>_FILE``, a file that
holds the value (as Docker and Kubernetes mount a Secret); the customary variables of `CUSTOMARY`; the TOML
file that ``--config`` or ``ASHAPP_CONFIG`` names. Empty variables count as absent.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    TomlConfigSettingsSource,
)

from ashapp.server.errors import StartupError
from ashapp.server.variables import CUSTOMARY, is_service_link, variable

__all__ = ["CUSTOMARY", "ConfigFile", "CustomaryVariables", "Environment", "MountedFiles", "variable"]


class Environment(EnvSettingsSource):
    """The variables ``ASHAPP_<NAME>``."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self.env_vars = {
            name: value for name, value in self.env_vars.items() if not is_service_link(name, value)
        }


class _Values(PydanticBaseSettingsSource):
    """A source that looks up each field by name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - interface
        return self.value(field_name), field_name, False

    def value(self, name: str) -> str | None:
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        values = {name: self.value(name) for name in self.settings_cls.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class MountedFiles(_Values):
    """The files that ``ASHAPP_<NAME>_FILE`` name; a line break at the end is no part of the value.

    Raises `StartupError` when such a file can't be read, or the value is also given as ``ASHAPP_<NAME>``.
    """

    def value(self, name: str) -> str | None:
        """Return the content of the file for this setting."""
        path_variable = f"{variable(name)}_FILE"
        path = os.environ.get(path_variable)
        if not path:
            return None
        if os.environ.get(variable(name)):
            raise StartupError(f"{variable(name)} and {path_variable} are both set: set one of them")
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise StartupError(
                f"{path_variable} = {path!r}: the file can't be read ({reason}); it must hold the {name}"
            ) from None


class CustomaryVariables(_Values):
    """The variables of `CUSTOMARY`."""

    def value(self, name: str) -> str | None:
        """Return the content of the variable for this setting."""
        return os.environ.get(CUSTOMARY[name]) or None if name in CUSTOMARY else None


class ConfigFile(PydanticBaseSettingsSource):
    """The TOML file that the setting ``config`` names: its keys are the names of the settings.

    Raises `StartupError` when it is not TOML.
    """

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Part of the interface, never asked here: the file is read as a whole."""
        raise NotImplementedError

    def __call__(self) -> dict[str, Any]:
        """Return what the file says; a missing file is found by the validation of ``config``."""
        path = self.current_state.get("config")
        if path is None:
            return {}
        try:
            return TomlConfigSettingsSource(self.settings_cls, path)()
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
            raise StartupError(f"config = {str(path)!r}: {error}") from None
