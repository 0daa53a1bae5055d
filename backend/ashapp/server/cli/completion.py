# SPDX-License-Identifier: MIT
"""What a shell offers to complete: the choices of an option, and the applications in the current folder.

click's own completion asks for it: https://click.palletsprojects.com/en/stable/shell-completion/.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem
from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES, WS_PROTOCOLS

from ashapp.server.settings import ServerSettings
from ashapp.server.settings.types import parts_of
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS

__all__ = ["complete_target", "complete_value"]

_FIELDS = ServerSettings.model_fields
_IMPLEMENTATIONS: Mapping[str, Iterable[str]] = {
    "loop": LOOP_FACTORIES,
    "http": HTTP_PROTOCOLS,
    "ws": WS_PROTOCOLS,
}

# What assigns an application, or makes one.
_ASSIGNED = re.compile(
    r"^(?:(\w+)\s*=\s*[\w.]*Flask\(|(app|application)\s*=|def (create_app|make_app)\()", re.MULTILINE
)


def complete_value(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return what the value of a setting's *option* may be: its choices, or files."""
    name = option.name or ""
    parts = parts_of(_FIELDS[name]) if name in _FIELDS else []
    choices = [choice for part in parts if get_origin(part) is Literal for choice in get_args(part)]
    words = [*_IMPLEMENTATIONS.get(name, choices)]
    if words:
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]
    if Path in parts:
        return [CompletionItem(incomplete, type="file")]
    theirs = UVICORN_OPTIONS.get(name)
    return theirs.type.shell_complete(ctx, option, incomplete) if theirs else []


def complete_target(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the applications that the files of the current folder seem to hold, or else files."""
    found = [target for target in _targets(Path.cwd()) if target.startswith(incomplete)]
    return [CompletionItem(target) for target in found] or [CompletionItem(incomplete, type="file")]


def _targets(folder: Path) -> Iterator[str]:
    for path in sorted((*folder.glob("*.py"), *folder.glob("*/__init__.py"), *folder.glob("*/wsgi.py"))):
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in _ASSIGNED.finditer(text):
            yield f"{name}:{match[1] or match[2] or match[3]}"
