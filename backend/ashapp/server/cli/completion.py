# SPDX-License-Identifier: MIT
"""Completion in a shell: the choices of options, and the applications in the current folder.

click's own completion asks for it: https://click.palletsprojects.com/en/stable/shell-completion/. For bash it
is mended here: bash splits words at colons and equals signs (COMP_WORDBREAKS), and replaces only the last
part by the offer.
"""

from collections.abc import Iterable
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class

from ashapp.server.discovery.folder import seeming_targets
from ashapp.server.settings.model import ServerSettings
from ashapp.server.settings.uvicorn_options import UVICORN_OPTIONS
from ashapp.server.validation.kinds import FILE, PATH

__all__ = ["complete_application", "complete_target", "complete_value"]

# Bash takes these characters for words of their own.
_BREAKS = frozenset(":=")


@add_completion_class
class _BashComplete(BashComplete):
    """click's, which is asked for whole words."""

    _kept = ""  # of the current word: what bash leaves as it is

    def get_completion_args(self) -> tuple[list[str], str]:
        args, part = super().get_completion_args()
        *before, current = _rejoined([*args, part])
        self._kept = current if _BREAKS.issuperset(part) else current.removesuffix(part)
        return before, current

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.type},{item.value.removeprefix(self._kept)}"


def _rejoined(parts: Iterable[str]) -> list[str]:
    words = [""]
    is_open = False
    for part in parts:
        is_break = part != "" and _BREAKS.issuperset(part)
        if part and (is_open or is_break):
            words[-1] += part
        else:
            words.append(part)
        is_open = is_break
    return words[1:]


def complete_value(ctx: click.Context, option: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return offers for the value of a setting's *option*: its choices, or files."""
    name = option.name or ""
    kind = ServerSettings.fields[name].kind
    if kind.choices:
        return [CompletionItem(word) for word in kind.choices if word.startswith(incomplete)]
    if kind is FILE or kind is PATH:
        return [CompletionItem(incomplete, type="file")]
    theirs = UVICORN_OPTIONS.get(name)
    return theirs.type.shell_complete(ctx, option, incomplete) if theirs else []


def complete_target(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the applications that the files of the current folder seem to hold, or else files."""
    return complete_application(incomplete) or [CompletionItem(incomplete, type="file")]


def complete_application(incomplete: str) -> list[CompletionItem]:
    """Return the applications that the files of the current folder seem to hold."""
    found = (target for target in seeming_targets(Path.cwd()) if target.startswith(incomplete))
    return [CompletionItem(target) for target in found]
