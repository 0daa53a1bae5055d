# SPDX-License-Identifier: MIT
"""The types of values that settings have, and what is said of the numbers that are allowed."""

from typing import Annotated, Any, get_args

from annotated_types import Ge, Gt
from pydantic import AllowInfNan, ByteSize
from pydantic.fields import FieldInfo

__all__ = ["Count", "PositiveSeconds", "Seconds", "Size", "allowed_numbers", "parts_of"]

Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Ge(0), AllowInfNan(allow_inf_nan=False)]
PositiveSeconds = Annotated[float, Gt(0), AllowInfNan(allow_inf_nan=False)]
Size = Annotated[ByteSize, Ge(0)]


def parts_of(field: FieldInfo) -> list[Any]:
    """Return the types in the annotation of *field*, and what it is annotated with."""
    parts: list[Any] = [field.annotation, *field.metadata]
    for part in parts:
        parts += get_args(part)
    return parts


def allowed_numbers(field: FieldInfo) -> str:
    """Say which numbers *field* allows; nothing for one that is not a number with bounds."""
    parts = parts_of(field)
    bounds = {key: getattr(part, key) for part in parts for key in ("ge", "gt", "le") if hasattr(part, key)}
    if not bounds:
        return ""
    if ByteSize in parts:
        return f"must be a number of bytes of at least {bounds['ge']}, such as 20MiB"
    kind = "a number" if float in parts else "a whole number"
    if "gt" in bounds:
        return f"must be {kind} above {bounds['gt']}"
    if "le" in bounds:
        return f"must be {kind} from {bounds['ge']} to {bounds['le']}"
    return f"must be {kind} of at least {bounds['ge']}"
