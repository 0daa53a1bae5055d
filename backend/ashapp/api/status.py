# SPDX-License-Identifier: MIT
"""An answer with any status code."""

from flask import Response, current_app, jsonify, request, url_for
from werkzeug.exceptions import BadRequest

from ashapp.api.problems import problem, title

__all__ = ["status"]

_WITHOUT_CONTENT = {204, 205, 304}
_REDIRECTS = {301, 302, 303, 307, 308}


def status(code: str) -> Response:
    """Answer with the given status code, from 200 to 599."""
    if not (code.isascii() and code.isdigit() and len(code) == 3 and 200 <= int(code) <= 599):
        raise BadRequest(f"The status code must be a number from 200 to 599, not {code!r}.")
    number = int(code)
    if number >= 400:
        return problem(number, f"This request asked for the status {number}.", _headers(number))
    if number in _WITHOUT_CONTENT:
        response = current_app.response_class(status=number)
        if number != 205:
            del response.headers["Content-Type"]
        return response
    response = jsonify(status=number, title=title(number))
    response.status_code = number
    response.headers.extend(_headers(number))
    return response


def _headers(code: int) -> list[tuple[str, str]]:
    """Return the header fields that RFC 9110 expects beside a status code.

    None for 407 and 426: theirs are hop-by-hop, which PEP 3333 forbids to an application.
    """
    if code in _REDIRECTS:
        return [("Location", url_for("card"))]
    if code == 401:
        return [("WWW-Authenticate", 'Basic realm="ashapp"')]
    if code == 405 and request.url_rule is not None:
        return [("Allow", ", ".join(sorted(request.url_rule.methods or ())))]
    if code in (429, 503):
        return [("Retry-After", "1")]
    return []
