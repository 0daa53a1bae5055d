# SPDX-License-Identifier: MIT
"""Kinds of values: how each is read from a text, and what is allowed."""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FILE",
    "FLAG",
    "PATH",
    "SECRET",
    "UNITS_TEXT",
    "Kind",
    "Secret",
    "choice",
    "duration",
    "number",
    "seconds_of",
    "size",
    "text",
    "texts",
]

_FLAGS = {
    **dict.fromkeys(["1", "on", "t", "true", "y", "yes"], True),
    **dict.fromkeys(["0", "off", "f", "false", "n", "no"], False),
}

#: The end of the message for a wrong duration.
UNITS_TEXT = "seconds, or with a unit: 500ms, 30s, 2m, 1h"

_SPAN = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}

_PREFIXES = "kmgtpe"
_SIZE = re.compile(rf"(\d*\.?\d+)\s*(?:(?:([{_PREFIXES}])(i?))?b)?", re.IGNORECASE)


class Kind(NamedTuple):
    """The allowed values, and how a value is read."""

    #: Tells what is allowed. In a message it follows the value that is refused.
    allowed: str
    #: Returns the value that is meant. Raises ``ValueError`` for a wrong value, with a text if *allowed* does
    #: not say enough. Any other exception, as for a number that is too large, refuses the value, too.
    check: Callable[[Any], Any]
    #: Returns the value that a text stands for, or else the text itself.
    read: Callable[[str], Any] = str
    #: The placeholder for a value on the help page, if it is not "TEXT".
    metavar: str = ""
    #: All values that there are, or the usual ones.
    choices: Sequence[str] = ()
    #: Whether it is a list, whose parts may be given one by one.
    is_several: bool = False

    def parse(self, value: Any, *, is_strict: bool = False) -> Any:
        """Return what is meant by *value*. If this *is_strict*, no text stands for anything else.

        Raises:
            ValueError: it is refused; the message says what is allowed.
        """
        try:
            return self.check(self.read(value) if isinstance(value, str) and not is_strict else value)
        except Exception as error:
            told = str(error) if isinstance(error, ValueError) else ""
            raise ValueError(told or self.allowed) from None


def _required(is_allowed: bool) -> None:  # noqa: FBT001 - that is all it is about
    if not is_allowed:
        raise ValueError


def _is_text(value: Any) -> bool:
    # For the system a text ends at a null character.
    return isinstance(value, str) and "\0" not in value


def text(refine: Callable[[str], Any] = str, **more: Any) -> Kind:
    """Return the kind of a text. *refine* returns the value that is meant, or raises ``ValueError``."""

    def check(value: Any) -> Any:
        _required(_is_text(value))
        return refine(value)

    return Kind("must be a valid string", check, **more)


def choice(*choices: str) -> Kind:
    """Return the kind of a text that is one of *choices*, which are in lower case."""

    def check(value: Any) -> Any:
        _required(value in choices)
        return value

    allowed = " or ".join(filter(None, [", ".join(map(repr, choices[:-1])), repr(choices[-1])]))
    return Kind(f"must be {allowed}", check, str.lower, f"[{'|'.join(choices)}]", choices)


def texts(split: Callable[[str], list[str]], refine: Callable[[list[str]], Any], metavar: str = "") -> Kind:
    """Return the kind of a list of texts, or of one that *split* takes apart; *refine* is as for `text`."""

    def check(value: Any) -> Any:
        _required(isinstance(value, list | tuple) and all(map(_is_text, value)))
        return refine(list(value))

    return Kind("must be a list of strings", check, split, metavar, is_several=True)


def number(least: int, most: int | None = None, *, is_open: bool = False, is_whole: bool = True) -> Kind:
    """Return the kind of a number from *least*, or above it if that *is_open*, to *most*."""

    def check(value: Any) -> float:
        _required(isinstance(value, int | float) and not isinstance(value, bool))
        _required(value > least if is_open else value >= least)  # which "nan" never is
        _required(value <= (sys.float_info.max if most is None else most) and not (is_whole and value % 1))
        return int(value) if is_whole else float(value)

    if is_open:
        bounds = f"above {least}" if most is None else f"above {least} and at most {most}"
    else:
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    allowed = f"must be a {'whole ' if is_whole else ''}number {bounds}"
    return Kind(allowed, check, _number_of, "INTEGER" if is_whole else "NUMBER")


def _number_of(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def duration(
    least: int = 0, most: int | None = None, *, is_open: bool = False, is_whole: bool = False
) -> Kind:
    """Return the kind of a number of seconds, which may have a unit."""

    def read(text: str) -> float | str:
        found = seconds_of(text)
        return _number_of(text) if found is None else found

    kind = number(least, most, is_open=is_open, is_whole=is_whole)
    return kind._replace(allowed=f"{kind.allowed}, in {UNITS_TEXT}", read=read, metavar="DURATION")


def seconds_of(text: str) -> float | None:
    """Return the seconds of a duration that has a unit, None for any other text."""
    match = _SPAN.fullmatch(text.strip().lower())
    # A product such as 3 * 0.001 has further digits by rounding only.
    return None if match is None else round(float(match[1]) * _SECONDS[match[2]], 6)


def size(least: int = 0) -> Kind:
    """Return the kind of a number of bytes, which may have a unit (IEC 80000-13)."""
    allowed = f"must be a number of bytes of at least {least}, such as 20MiB"
    return number(least)._replace(allowed=allowed, read=_bytes_of, metavar="SIZE")


def _bytes_of(text: str) -> int | str:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return text
    digits, prefix, binary = match.groups()
    power = _PREFIXES.index(prefix.lower()) + 1 if prefix else 0
    return int(float(digits) * (1024 if binary else 1000) ** power)


def _flag(value: Any) -> bool:
    _required(isinstance(value, int | float) and value in {0, 1})
    return bool(value)


def _file(value: Any) -> Path:
    _required(isinstance(value, str | Path) and Path(value).is_file())
    return Path(value)


def _secret(value: Any) -> "Secret":
    _required(isinstance(value, str))
    return Secret(value)


class Secret(NamedTuple):
    """A text that is not shown."""

    text: str

    def __bool__(self) -> bool:
        """Say whether there is any text."""
        return bool(self.text)

    def __repr__(self) -> str:
        """Return no part of it."""
        return "**********"


FLAG = Kind("must be true or false", _flag, lambda text: _FLAGS.get(text.lower(), text))
FILE = Kind("must be the path of a file that is there", _file)
PATH = text(Path)
SECRET = Kind("must be a valid string", _secret)
