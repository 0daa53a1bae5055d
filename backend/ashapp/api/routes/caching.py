# SPDX-License-Identifier: MIT
"""Conditional requests, caches and ranges (RFC 9110, sections 13 and 14; RFC 9111)."""

from datetime import UTC, datetime
from itertools import cycle, islice
from string import ascii_lowercase
from typing import Annotated

from flask import Response, current_app, jsonify, request

from ashapp.api.openapi.operations import Answer, Model, Routes
from ashapp.api.openapi.parameters import Value

__all__ = ["Cached", "Tagged", "byte_range", "cache", "etag", "routes"]

routes = Routes("Caching", "Conditional requests, caches and ranges.")

# What is served here is the same in every process, and never changes.
_LAST_MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)


class Tagged(Model):
    """A document with an entity tag."""

    etag: str


class Cached(Model):
    """A document that caches may keep for the seconds of the path."""

    seconds: int


def _answers(model: type[Model]) -> tuple[Answer, ...]:
    return (
        Answer(200, "The document.", "application/json", model, {"ETag": "Its entity tag."}),
        Answer(304, "The client has it already."),
        Answer(412, "It is not the one that the client asks for.", "application/json", model),
    )


@routes.add("/etag/<tag>", answers=_answers(Tagged))
async def etag(
    tag: Annotated[str, Value("The entity tag.", "v1", pattern=r"^[0-9A-Za-z._~-]+$", most_characters=100)],
) -> Response:
    """Answer by `If-None-Match` and `If-Match` with the given entity tag."""
    response = jsonify(etag=tag)
    response.set_etag(tag)
    return response.make_conditional(request)  # type: ignore[return-value]


@routes.add("/cache/<seconds>", answers=_answers(Cached))
def cache(
    seconds: Annotated[int, Value("How long a cache may keep it.", 60, least=0, most=31_536_000)],
) -> Response:
    """Return what caches may keep, and tell those that ask whether it has changed."""
    response = jsonify(seconds=seconds)
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    response.last_modified = _LAST_MODIFIED
    response.add_etag()
    return response.make_conditional(request)  # type: ignore[return-value]


@routes.add(
    "/range/<count>",
    answers=(
        Answer(200, "All of it.", "application/octet-stream", headers={"Accept-Ranges": "Always bytes."}),
        Answer(206, "The range.", "application/octet-stream", headers={"Content-Range": "Its place."}),
        Answer(304, "The client has it already."),
    ),
)
def byte_range(
    count: Annotated[int, Value("How many bytes there are.", 26, least=1, most=1024**2)],
) -> Response:
    """Return the alphabet over and over, whole or the `Range` of it, by `If-Range` too."""
    text = "".join(islice(cycle(ascii_lowercase), count))
    response = current_app.response_class(text, mimetype="application/octet-stream")
    response.set_etag(f"range-{count}")
    response.last_modified = _LAST_MODIFIED
    # A server ignores other units (RFC 9110, 14.2), but Werkzeug would refuse them.
    is_range = request.headers.get("Range", "bytes=").lower().startswith("bytes=")
    response.make_conditional(request, accept_ranges=is_range, complete_length=count)
    response.headers["Accept-Ranges"] = "bytes"
    return response
