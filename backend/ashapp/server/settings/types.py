# SPDX-License-Identifier: MIT
"""The kinds of values that settings have."""

import re
import shlex
from collections.abc import Iterable
from typing import Any

from ashapp.observe.logs.access_format import check_format
from ashapp.server.settings.sources.addresses import address_texts, parse_addresses
from ashapp.server.validation.kinds import Kind, duration, number, size, text, texts

__all__ = [
    "ACCESS_FORMAT",
    "ADDRESSES",
    "COMMAND",
    "COUNT",
    "HEADERS",
    "MASK",
    "MOUNTED",
    "NATURAL",
    "PORT",
    "PORT_OR_OFF",
    "POSITIVE_SECONDS",
    "PROBE_PATH",
    "SECONDS",
    "SIZE",
    "TEXT",
    "WHOLE_SECONDS",
    "implementation",
]

# RFC 9110, 5.1 and 5.5: a token, and a value without control characters.
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


def _some(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


def _command(value: str) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        raise ValueError(f"must be a command as a shell reads it ({error})") from error
    return value


def _probe_path(value: str) -> str:
    if value not in {"", "off"} and not value.startswith("/"):
        raise ValueError('must begin with a slash, or be "off"')
    return "" if value == "off" else value


def _port_or_off(value: Any) -> Any:
    return "off" if str(value).lower() in {"off", "no", "false", "none"} else PORT.check(value)


def _octal(text: str) -> int | str:
    return int(text.removeprefix("0o"), 8) if re.fullmatch(r"(0o)?[0-7]{1,4}", text) else text


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    matches = [(line, _HEADER.fullmatch(line.strip())) for line in lines]
    wrong = [line for line, match in matches if match is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a header of the form 'Name: value'")
    return [(match[1], match[2]) for _, match in matches if match]


def _header_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _mount_lines(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"[,\n]", text) if part.strip()]


def _mounted(value: Any) -> dict[str, str]:
    if isinstance(value, list | tuple):
        pairs = [str(part).partition("=")[::2] for part in value]
        value = dict(pairs)
        if len(value) < len(pairs):
            raise ValueError("each prefix may be given once")
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - which tells what is allowed
    for prefix, target in value.items():
        if not re.fullmatch(r"(/[^/?#\s]+)+", prefix) or not isinstance(target, str) or not target:
            wrong = f"{prefix}={target}" if target else prefix
            raise ValueError(f"{wrong} is not of the form '/prefix=module:application'")
    return value


def _addresses(texts: list[str]) -> list[str]:
    parse_addresses(texts)
    return texts


def implementation(known: Iterable[str]) -> Kind:
    """Return the kind of a text that is one of *known*, or names an object that can be imported."""

    def check(value: str) -> str:
        if value not in known and not re.fullmatch(r"[\w.]+:[\w.]+", value):
            raise ValueError(f"must be one of {', '.join(known)}, or an import string 'module:attribute'")
        return value

    return text(check, choices=tuple(known))


TEXT = text(_some)
COUNT = number(1)
NATURAL = number(0)
SECONDS = duration()
POSITIVE_SECONDS = duration(is_open=True)
WHOLE_SECONDS = duration(is_whole=True)
SIZE = size()
PORT = number(0, 65535)
PORT_OR_OFF = Kind(f'{PORT.allowed}, or "off"', _port_or_off, PORT.read, "INTEGER|off")
MASK = number(0, 0o777)._replace(allowed="must be an octal number from 0 to 777, such as 027", read=_octal)
ACCESS_FORMAT = text(check_format)
COMMAND = text(_command)
PROBE_PATH = text(_probe_path)
MOUNTED = Kind("must be a table of targets", _mounted, _mount_lines, "/PREFIX=TARGET", is_several=True)
ADDRESSES = texts(address_texts, _addresses, "ADDRESS")
HEADERS = texts(_header_lines, _headers)
