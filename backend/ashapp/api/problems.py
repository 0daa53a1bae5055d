# SPDX-License-Identifier: MIT
"""Problem details for HTTP APIs (RFC 9457): the one form in which this application tells of an error."""

from collections.abc import Iterable
from http.client import responses
from urllib.parse import quote

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from ashapp.api.openapi.operations import Model
from ashapp.bridge import nonblocking

__all__ = ["Problem", "problem", "register", "title"]


class Problem(Model):
    """What has gone wrong with one request (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


def register(app: Flask) -> None:
    """Make every error of the application a problem.

    So is an unhandled exception. Flask logs it, and raises ``InternalServerError`` in its place: the
    description of that tells the client nothing.
    """
    app.register_error_handler(HTTPException, nonblocking(_problem_of))


def problem(status: int, detail: str, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """Return a problem of the current request, of type ``about:blank`` (RFC 9457, section 4.2.1)."""
    body = Problem(
        type="about:blank", title=title(status), status=status, detail=detail, instance=_instance()
    )
    response = jsonify(body.model_dump())
    response.status_code = status
    response.mimetype = "application/problem+json"
    response.headers.extend(headers)
    return response


def title(status: int) -> str:
    """Return the phrase that is registered for a status code, or "Unknown"."""
    return responses.get(status, "Unknown")


def _problem_of(error: HTTPException) -> Response:
    headers = [(name, value) for name, value in error.get_headers() if name != "Content-Type"]
    return problem(error.code or 500, error.description or error.name, headers)


def _instance() -> str:
    """Return the path of the request as a URI reference; its bytes are latin-1 in the environ (PEP 3333)."""
    environ = request.environ
    path = quote(environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", ""), encoding="latin-1")
    # A path that starts with "//" would be read as an authority (RFC 3986, section 4.2).
    return f"/.{path}" if path.startswith("//") else path
