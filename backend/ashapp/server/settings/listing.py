# SPDX-License-Identifier: MIT
"""The settings as a file for ``--config``, with the source of each value in a comment."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ashapp.server.settings.model import Settings
from ashapp.server.settings.sources.variables import Given
from ashapp.server.validation.kinds import Secret
from ashapp.server.validation.record import Record

__all__ = ["list_settings"]

# Where the comments begin, if there is room.
_COLUMN = 48


def list_settings(settings: Settings, given: Mapping[str, Given]) -> Iterator[str]:
    """Yield the lines of a TOML file that gives the same settings; *given* tells the sources.

    Settings without a value, and secrets, are comments.
    """
    told: set[str] = set()
    for group in [kind for kind in type(settings).__mro__[::-1] if issubclass(kind, Record)]:
        names = [name for name in group.fields if name not in told]
        told.update(names)
        if not names:
            continue
        yield f"# {group.title}"
        for name in names:
            origin = given[name].origin if name in given else "default"
            yield f"{_assignment(name, getattr(settings, name)):{_COLUMN}}  # {origin}"
        yield ""


def _assignment(name: str, value: Any) -> str:
    if value is None:
        return f"# {name}"
    if isinstance(value, Secret) or name == "config":
        return f"# {name} = {json.dumps(str(value))}"
    return f"{name} = {_toml(value)}"


def _toml(value: Any) -> str:
    """Return *value* in TOML, which is JSON for what is no table."""
    if isinstance(value, dict):
        value = [f"{key}={each}" for key, each in value.items()]
    if isinstance(value, list):
        value = [": ".join(each) if isinstance(each, tuple) else each for each in value]
    return json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
