# SPDX-License-Identifier: MIT
"""What a page of the management port answers with."""

from http import HTTPStatus
from typing import Any, NamedTuple

__all__ = ["FAULTS", "Page", "problem_page"]

#: The path of all faults; each has one below it.
FAULTS = "/faults"


class Page(NamedTuple):
    """A status, what becomes JSON, and headers."""

    status: HTTPStatus
    content: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()


def problem_page(status: HTTPStatus, detail: str, *headers: tuple[str, str]) -> Page:
    """Return problem details (RFC 9457)."""
    return Page(status, {"title": status.phrase, "status": int(status), "detail": detail}, headers)
