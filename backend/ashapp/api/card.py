# SPDX-License-Identifier: MIT
"""The service card: what answers here, as a page for a browser and as JSON for the rest; and the versions."""

import platform
import socket
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import metadata
from typing import Any

from flask import Response, current_app, jsonify, make_response, render_template, request, url_for

import ashapp  # Not complete yet while it imports this package: read its version when asked.
from ashapp.api.reference.operations import Answer, Endpoint, Model, Routes

__all__ = ["Version", "card", "routes", "version"]

routes = Routes("Service", "What answers here.")

_NAME = "ashapp-backend"


class Version(Model):
    """The versions of what runs, and the commit that was built, if it is known."""

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
def card() -> Response:
    """Return this card: the service, its version and its endpoints."""
    endpoints: list[Endpoint] = current_app.extensions["ashapp.api"]
    facts = {
        "name": _NAME,
        "version": ashapp.__version__,
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
        "endpoints": [_endpoint(each) for each in endpoints if not each.operation.is_websocket],
    }
    # The first of equals wins: JSON, for a client that accepts anything.
    accepted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    response = _page(facts) if accepted == "text/html" else jsonify(facts)
    response.vary.add("Accept")
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


def _page(facts: dict[str, Any]) -> Response:
    style = render_template("card.css")
    response = make_response(render_template("card.html", style=style, **facts))
    response.mimetype = "text/html"
    digest = b64encode(sha256(style.encode()).digest()).decode()
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response
