# SPDX-License-Identifier: MIT
"""Text for a reader's terminal: none of it is a line, a sequence of control or a direction of its own."""

__all__ = ["indented", "printable"]

_INDENT = "\n    "


def printable(text: str, kept: str = "") -> str:
    """Return *text* with escapes for what can't be printed, but the characters *kept*.

    It may be somebody's input: by a line break it would look like a line of the log's own, by an escape
    sequence it would act on the terminal.
    """
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() or char in kept else _escape(char) for char in text])


def indented(text: str) -> str:
    """Return *text* with all its lines but the first indented, and what can't be printed escaped."""
    return printable(text.rstrip("\n"), "\n").replace("\n", _INDENT)


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()
