# SPDX-License-Identifier: MIT
"""The response class of the reference application."""

from types import MappingProxyType
from typing import Any

from flask import Response

__all__ = ["ApiResponse"]

_HEADERS = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)


class ApiResponse(Response):
    """A response with protective headers, each of which a view may override.

    A class, where an ``after_request`` function would do too: such a function is synchronous, and would cost
    an async view a thread.
    """

    default_mimetype = "text/plain"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in _HEADERS.items():
            self.headers.setdefault(name, value)
