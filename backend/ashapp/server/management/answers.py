# SPDX-License-Identifier: MIT
"""The JSON responses of the management port and of the control socket."""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple

from ashapp.bridge.messages.types import Environ, StartResponse

__all__ = ["FAULTS", "Page", "problem_page"]

#: The path of all faults; each has one below it.
FAULTS = "/faults"


class Page(NamedTuple):
    """A response: its status, its content, which becomes JSON, and more headers."""

    status: HTTPStatus
    content: dict[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    def answer(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request with it (PEP 3333). What has a ``detail`` is problem details (RFC 9457)."""
        body = json.dumps(self.content, indent=2).encode() + b"\n"
        headers = [
            ("Content-Type", "application/problem+json" if "detail" in self.content else "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            *self.headers,
        ]
        start_response(f"{int(self.status)} {self.status.phrase}", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def problem_page(status: HTTPStatus, detail: str, *headers: tuple[str, str]) -> Page:
    """Return problem details (RFC 9457)."""
    return Page(status, {"title": status.phrase, "status": int(status), "detail": detail}, headers)
