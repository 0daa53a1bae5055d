# SPDX-License-Identifier: MIT
"""The service card: version and endpoints, as a page for browsers and as JSON for others."""

import platform
import socket
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any

from flask import Response, current_app, jsonify, request, url_for
from werkzeug.exceptions import ServiceUnavailable

import ashapp  # Not complete yet while it imports this package: read its version when asked.
from ashapp.api.openapi.operations import Answer, Endpoint, Model, Routes
from ashapp.api.openapi.parameters import Value
from ashapp.api.page import page
from ashapp.bridge import sse

if TYPE_CHECKING:
    from ashapp.api.live import Live

__all__ = ["Version", "card", "live", "routes", "version"]

routes = Routes("Service", "What answers here.")

_NAME = "ashapp-backend"

# Seconds for which a page watches at a time; then it asks again.
_LONGEST = 600


class Version(Model):
    """The versions of the service and its parts, and the commit that was built, if it is known."""

    name: str
    version: str
    commit: str | None
    python: str
    flask: str
    werkzeug: str


@routes.add(
    "/",
    answers=(
        Answer(200, "The card, for programs.", "application/json"),
        Answer(200, "The card, for browsers.", "text/html"),
    ),
)
async def card() -> Response:
    """Return this card: the service, its version and its endpoints; live for a browser."""
    shown: Live = current_app.extensions["ashapp.live"]
    # The first of equals wins: JSON, for a client that accepts anything.
    offered = ["application/json", *(["text/html"] if current_app.config["LIVE_PAGE"] else [])]
    accepted = request.accept_mimetypes.best_match(offered)
    endpoints: list[Endpoint] = current_app.extensions["ashapp.api"]
    facts = {
        "name": _NAME,
        "version": ashapp.__version__,
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
        "endpoints": [_endpoint(each) for each in endpoints if not each.operation.is_websocket],
    }
    response = _page(facts, shown.figures()) if accepted == "text/html" else jsonify(facts)
    response.vary.add("Accept")
    return response


@routes.add(
    "/live",
    answers=(
        Answer(200, "The figures as HTML; none where nothing counts.", "text/event-stream"),
        Answer(503, "Too many watch already.", "application/problem+json"),
    ),
)
async def live(
    count: Annotated[int, Value("How many events there are, one a second.", 1, least=1, most=_LONGEST)] = 1,
) -> Response:
    """Send the figures of the page as server-sent events, once a second."""
    shown: Live = current_app.extensions["ashapp.live"]
    most = current_app.config["MAX_VIEWERS"]
    if not shown.join(most):
        raise ServiceUnavailable(f"The page is watched by {most} already, the most at once.", retry_after=10)
    response = sse(shown.watch(count), retry=1)
    response.call_on_close(shown.leave)
    return response


@routes.add("/version")
def version() -> Version:
    """Return the versions of the service, Python, Flask and Werkzeug, and the commit built."""
    return Version(
        name=_NAME,
        version=ashapp.__version__,
        commit=current_app.config["ASHAPP_COMMIT"] or None,
        python=platform.python_version(),
        flask=_installed("flask"),
        werkzeug=_installed("werkzeug"),
    )


@cache
def _installed(distribution: str) -> str:
    return metadata.version(distribution)


def _endpoint(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "path": endpoint.path,
        "methods": list(endpoint.operation.methods),
        "summary": endpoint.operation.summary,
        "example": url_for(endpoint.name, **endpoint.example),
    }


def _page(facts: dict[str, Any], figures: str) -> Response:
    """Return the page about *facts*, with *figures* as HTML; without any it is not live."""
    source = url_for("live", count=_LONGEST)
    return page("card", {**facts, "figures": figures, "source": source}, has_script=bool(figures))
