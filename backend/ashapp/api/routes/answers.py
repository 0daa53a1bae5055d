# SPDX-License-Identifier: MIT
"""Responses by request: with any status, after a delay, behind redirects, compressed."""

import gzip as coding
from asyncio import sleep
from typing import Annotated

from flask import Response, current_app, json, jsonify, request, url_for

from ashapp.api.openapi.operations import ANY, Answer, Model, Routes
from ashapp.api.openapi.parameters import Value
from ashapp.api.problems import Problem, problem, title

__all__ = ["Delay", "Gzipped", "Status", "delay", "gzip", "redirect", "routes", "status"]

routes = Routes("Answers", "Answers as they are asked for.")

_WITHOUT_CONTENT = {204, 205, 304}
_REDIRECTS = {301, 302, 303, 307, 308}


class Status(Model):
    """A status code and its phrase."""

    status: int
    title: str


class Gzipped(Model):
    """The header fields of a request, in an answer that is compressed."""

    gzipped: bool
    headers: dict[str, str]


class Delay(Model):
    """How many seconds an answer has waited."""

    seconds: float


@routes.add(
    "/status/<code>",
    methods=ANY,
    answers=(
        Answer("2XX", "As asked for.", "application/json", Status),
        Answer(204, "As asked for: no content."),
        Answer(205, "As asked for: no content.", "text/plain"),
        Answer(304, "As asked for: no content."),
        Answer("3XX", "As asked for.", "application/json", Status, {"Location": "The card, for a redirect."}),
        Answer("4XX", "As asked for.", "application/problem+json", Problem),
        Answer("5XX", "As asked for.", "application/problem+json", Problem),
    ),
)
def status(
    code: Annotated[int, Value("The status code to answer with.", 418, least=200, most=599)],
) -> Response:
    """Answer with the given status code, from 200 to 599."""
    if code >= 400:
        return problem(code, f"This request asked for the status {code}.", _headers(code))
    if code in _WITHOUT_CONTENT:
        response = current_app.response_class(status=code)
        if code != 205:
            del response.headers["Content-Type"]
        return response
    response = jsonify(Status(status=code, title=title(code)).model_dump())
    response.status_code = code
    response.headers.extend(_headers(code))
    return response


@routes.add("/delay/<seconds>", methods=ANY)
async def delay(
    seconds: Annotated[float, Value("How long to wait.", 1, least=0, most="MAX_DELAY_SECONDS")],
) -> Delay:
    """Answer after the given number of seconds, holding no thread meanwhile."""
    await sleep(seconds)
    return Delay(seconds=seconds)


@routes.add(
    "/redirect/<count>",
    answers=(
        Answer(302, "The next redirect.", "text/plain", headers={"Location": "A path of this service."}),
    ),
)
async def redirect(
    count: Annotated[int, Value("How many redirects there are in all.", 1, least=1, most=20)],
) -> Response:
    """Redirect so many times, within this service, and then to what tells of the request."""
    target = url_for("redirect", count=count - 1) if count > 1 else url_for("anything")
    return current_app.response_class(status=302, headers={"Location": target})


@routes.add(
    "/gzip",
    answers=(
        Answer(
            200,
            "The header fields of the request, compressed.",
            "application/json",
            Gzipped,
            {"Content-Encoding": "Always gzip, also where the client does not say that it takes it."},
        ),
    ),
)
def gzip() -> Response:
    """Return the header fields of the request, compressed by the application itself."""
    text = json.dumps(Gzipped(gzipped=True, headers=dict(request.headers.items())).model_dump())
    body = coding.compress(text.encode(), mtime=0)
    return current_app.response_class(
        body, mimetype="application/json", headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    )


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
