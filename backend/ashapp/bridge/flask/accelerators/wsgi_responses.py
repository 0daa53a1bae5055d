# SPDX-License-Identifier: MIT
# ruff: noqa: SLF001 - see ``flask/patches.py``
"""Sends a response object that is whole without the steps that change nothing.

``Response.get_wsgi_response`` copies the headers, for it may change some of them, and wraps the body twice.
If the response has a length and its body is one piece of bytes, nothing is changed. Then the list of its
headers is used as it is, and a list for the body, which closes the response as Werkzeug's iterator does. For
responses of Flask's own class to async views even these lists are not needed: see ``whole_response``.
"""

from collections.abc import Callable, Iterable
from typing import Any

from flask.wrappers import Response as FlaskResponse
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from ashapp.bridge.flask import accelerators
from ashapp.bridge.flask.accelerators.originals import AllOriginals, Originals
from ashapp.bridge.messages.types import Environ

__all__ = ["REPLACED", "get_wsgi_response", "responses_hold", "whole_response"]

_MODULE = "werkzeug.wrappers.response"
#: The method that ``get_wsgi_response`` replaces.
REPLACED = Originals(Response, "get_wsgi_response", 0x4D8A7AAE)
# The methods that it leaves out, and those that ``whole_response`` leaves out besides.
_LEFT_OUT = Originals(FlaskResponse, "get_wsgi_headers get_app_iter iter_encoded close", 0x26E1FC34, _MODULE)
_CLASS = AllOriginals(
    _LEFT_OUT,
    Originals(FlaskResponse, "__call__", 0xFD645D5F, _MODULE),
    Originals(FlaskResponse, "status status_code", 0x3D5FCE00, "werkzeug.sansio.response"),
)
_get_wsgi_response = Response.get_wsgi_response
_WITHOUT_BODY = (204, 304)
# Headers that Werkzeug changes.
_CHANGED = frozenset({"location", "content-location"})


class _Body(list[bytes]):
    """The body of a response, as an iterable that closes it and, as Werkzeug's, can be asked for the next."""

    __slots__ = ("close",)

    close: Callable[[], None]

    def __next__(self) -> bytes:
        if not self:
            raise StopIteration
        return self.pop(0)


def get_wsgi_response(self: Response, environ: Environ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
    """Return body, status and headers; see ``werkzeug.wrappers.Response.get_wsgi_response``."""
    is_known = accelerators.ENABLED and _LEFT_OUT.are_those_of(type(self))
    if is_known and _is_complete(self, environ, self.status_code):
        response: Any = self
        body = _Body(response.response)
        body.close = self.close
        return body, self.status, self.headers._list[:]
    return _get_wsgi_response(self, environ)


def responses_hold() -> bool:
    """Say whether all methods that ``whole_response`` leaves out are unchanged in Flask's responses."""
    return FlaskResponse.get_wsgi_response is get_wsgi_response and _CLASS.still_hold()


def whole_response(response: Response, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes] | None:
    """Return status, headers and body of *response* if they are sent as they are, and no function follows.

    Only where ``responses_hold``.
    """
    if (
        type(response) is FlaskResponse
        and getattr(response, "_on_close", None) == []
        and _is_complete(response, environ, response._status_code)
    ):
        body: Any = response.response
        return response._status, response.headers._list, body[0]
    return None


def _is_complete(response: Response, environ: Environ, code: int) -> bool:
    body: Any = response.response
    return (
        type(body) is list
        and len(body) == 1
        and type(body[0]) is bytes
        and type(response.headers) is Headers
        and environ["REQUEST_METHOD"] != "HEAD"
        and not response.direct_passthrough
        and 200 <= code not in _WITHOUT_BODY
        and _need_no_change(response.headers._list)
    )


def _need_no_change(headers: list[tuple[str, str]]) -> bool:
    if len(headers) == 2 and headers[0][0] == "Content-Type" and headers[1][0] == "Content-Length":
        return True  # as most have it
    names = {name.lower() for name, _ in headers}
    return "content-length" in names and not names & _CHANGED
