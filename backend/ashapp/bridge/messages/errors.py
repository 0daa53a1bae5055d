# SPDX-License-Identifier: MIT
"""Errors between a client and the application, and their answers (RFC 9457)."""

import json
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from werkzeug import exceptions

from ashapp.bridge.messages.types import Send

__all__ = [
    "BodyOverdue",
    "ClientDisconnected",
    "RequestRejected",
    "RequestTimeout",
    "StorageFull",
    "send_problem",
    "send_timeout",
]


class BodyOverdue(TimeoutError):  # noqa: N818 - an outcome that the log tells of
    """The response is complete, and the code that made its body has run on for as long as it may."""


class ClientDisconnected(exceptions.ClientDisconnected, OSError):  # noqa: N818 - Werkzeug's name
    """The client went away before the request body was complete, or while the response was sent.

    Raised by ``environ["wsgi.input"]`` and by ``write()``. It is an ``OSError``, as the ASGI
    specification asks of servers (2.4, "Disconnected client - send exception"), and Werkzeug's
    exception of that name, so that Flask takes it for a bad request and logs no traceback.
    """


class RequestRejected(ValueError):  # noqa: N818 - an outcome that the client is told of, not a fault
    """The request is not passed to the application.

    ``status`` is the code to answer with: 4xx if the request is wrong, 503 if there are too many. ``detail``
    says why, and ``headers`` are fields that the answer has besides those of any problem details.
    """

    def __init__(self, status: int, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = tuple(headers)


class RequestTimeout(Exception):  # noqa: N818 - an outcome that the client is told of
    """The time for the request is up, and its response had not begun."""


class StorageFull(exceptions.HTTPException, OSError):  # noqa: N818 - an outcome that the client is told of
    """A disk has no room for the files of a request, which Werkzeug writes there: 507 (RFC 4918, 11.5).

    It is an ``OSError`` still, with the number and the reason of *error*, which the system gave.
    """

    code = 507
    description = "The service has no room to store this request body. Try again later."

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.errno = error.errno
        self.strerror = error.strerror

    def get_body(self, *_request: Any) -> str:
        """Return problem details."""
        return json.dumps(_problem(self.code, str(self.description)))

    def get_headers(self, *_request: Any) -> list[tuple[str, str]]:
        """Return their type."""
        return [("Content-Type", "application/problem+json")]


def _problem(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


async def send_problem(
    send: Send, status: int, detail: str, more_headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with *status* and problem details whose ``detail`` says what was wrong."""
    body = json.dumps(_problem(status, detail)).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        *more_headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_timeout(send: Send, seconds: float | None) -> None:
    """Answer with 504: the application took longer than *seconds*."""
    with suppress(OSError):  # the client has gone (ASGI 2.4)
        await send_problem(send, 504, f"The application took longer than {seconds} s.")
