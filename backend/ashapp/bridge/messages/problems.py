# SPDX-License-Identifier: MIT
"""The bridge's own answers to requests that don't reach the application (RFC 9457)."""

import json
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus

from ashapp.bridge.messages.types import Send

__all__ = ["send_problem", "send_timeout"]


async def send_problem(
    send: Send, status: int, detail: str, more_headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with *status* and problem details whose ``detail`` says what was wrong."""
    document = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_timeout(send: Send, seconds: float | None) -> None:
    """Answer with 504, to whom it may concern: the application took longer than *seconds*."""
    with suppress(OSError):  # the client has gone (ASGI 2.4)
        await send_problem(send, 504, f"The application took longer than {seconds} s.")
