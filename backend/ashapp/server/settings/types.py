# SPDX-License-Identifier: MIT
"""The types of values that settings have."""

import re
import shlex
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
from pydantic.fields import FieldInfo

from ashapp.observe.logs.access_format import check_format
from ashapp.server.settings.sources.addresses import address_texts, parse_addresses
from ashapp.server.settings.sources.durations import seconds_of

__all__ = [
    "DURATION",
    "AccessFormat",
    "Addresses",
    "Command",
    "Count",
    "Headers",
    "Mask",
    "Mounted",
    "Port",
    "PortOrOff",
    "PositiveSeconds",
    "ProbePath",
    "Seconds",
    "Size",
    "Text",
    "WholeSeconds",
    "implementation",
    "parts_of",
]

# RFC 9110, 5.1 and 5.5: a token, and a value without control characters.
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


def _seconds(value: Any) -> Any:
    found = seconds_of(value) if isinstance(value, str) else None
    return value if found is None else found


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
    if value is False or str(value).lower() in {"off", "no", "false", "none"}:
        return "off"
    if not str(value).isdecimal() or int(value) > 65535:
        raise ValueError('must be a whole number from 0 to 65535, or "off"')
    return int(value)


def _octal(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"(0o)?[0-7]{1,4}", value):
        value = int(value.removeprefix("0o"), 8)
    if not isinstance(value, int) or not 0 <= value <= 0o777:
        raise ValueError("must be an octal number from 0 to 777, such as 027")
    return value


def _header_lines(value: Any) -> Any:
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    matches = [(line, _HEADER.fullmatch(line.strip())) for line in lines]
    wrong = [line for line, match in matches if match is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a header of the form 'Name: value'")
    return [(match[1], match[2]) for _, match in matches if match]


def _mounted(value: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in re.split(r"[,\n]", value) if part.strip()]
    if not isinstance(value, list | tuple):
        return value
    pairs = [str(part).partition("=")[::2] for part in value]
    if len({prefix for prefix, _ in pairs}) < len(pairs):
        raise ValueError("each prefix may be given once")
    return dict(pairs)


def _mounts(value: dict[str, str]) -> dict[str, str]:
    for prefix, target in value.items():
        if not re.fullmatch(r"(/[^/?#\s]+)+", prefix) or not target:
            raise ValueError(f"{prefix}={target} is not of the form '/prefix=module:application'")
    return value


def _addresses(texts: list[str]) -> list[str]:
    parse_addresses(texts)
    return texts


def implementation(known: Iterable[str]) -> AfterValidator:
    """Return what checks that a text is one of *known*, or names something else that can be imported."""

    def check(value: str) -> str:
        if value not in known and not re.fullmatch(r"[\w.]+:[\w.]+", value):
            raise ValueError(f"must be one of {', '.join(known)}, or an import string 'module:attribute'")
        return value

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
#: Marks a number of seconds, which may have a unit.
DURATION = BeforeValidator(_seconds)
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False), DURATION]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False), DURATION]
WholeSeconds = Annotated[int, Field(ge=0), DURATION]
Size = Annotated[ByteSize, Field(ge=0)]
Port = Annotated[int, Field(ge=0, le=65535)]
PortOrOff = Annotated[int | Literal["off"], BeforeValidator(_port_or_off)]
Mask = Annotated[int, BeforeValidator(_octal)]
AccessFormat = Annotated[str, AfterValidator(check_format)]
Command = Annotated[str, AfterValidator(_command)]
ProbePath = Annotated[str, AfterValidator(_probe_path)]
Mounted = Annotated[dict[str, str], BeforeValidator(_mounted), AfterValidator(_mounts)]
Addresses = Annotated[list[str], BeforeValidator(address_texts), AfterValidator(_addresses)]
Headers = Annotated[list[str], BeforeValidator(_header_lines), AfterValidator(_headers)]


def parts_of(field: FieldInfo) -> list[Any]:
    """Return the types in the annotation of *field*, and what it is annotated with."""
    parts: list[Any] = [field.annotation, *field.metadata]
    for part in parts:
        parts += part.metadata if isinstance(part, FieldInfo) else get_args(part)
    return parts
