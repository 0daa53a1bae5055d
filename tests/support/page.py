# SPDX-License-Identifier: MIT
"""A page of documentation: its sections, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Page", "Section"]

_HEADING = re.compile(r"^## (.+)$")
_FENCE = re.compile(r"^```([\w{}]*)$")


@dataclass
class Section:
    """The part of a page under one heading of the second level."""

    title: str
    blocks: list[tuple[str, str]] = field(default_factory=list)

    def of(self, language: str) -> list[str]:
        """Return the fenced blocks in *language*, in order."""
        return [text for name, text in self.blocks if name == language]


class Page:
    """A Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sections: dict[str, Section] = {}
        section = Section("")
        lines = iter(path.read_text(encoding="utf-8").splitlines())
        for line in lines:
            if heading := _HEADING.match(line):
                section = self.sections[heading[1]] = Section(heading[1])
            elif fence := _FENCE.match(line):
                section.blocks.append((fence[1], _until_fence(lines)))

    def python(self, *titles: str) -> str:
        """Return the Python of the sections called *titles*, of all of them if none is named."""
        sections = [self.sections[title] for title in titles or self.sections]
        return "\n\n".join(text for section in sections for text in section.of("python"))


def _until_fence(lines: Iterator[str]) -> str:
    block: list[str] = []
    for line in lines:
        if line == "```":
            return "\n".join(block)
        block.append(line)
    raise AssertionError(f"a fenced block does not end: {block[:1]}")
