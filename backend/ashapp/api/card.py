# SPDX-License-Identifier: MIT
"""The service card: what answers here, as a page for a browser and as JSON for the rest; and the versions."""

import platform
import re
import socket
from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib import metadata
from inspect import getdoc
from typing import Any

from flask import Response, current_app, jsonify, make_response, render_template, request, url_for
from werkzeug.routing import Rule

import ashapp  # Not complete yet while it imports this package: read its version when asked.

__all__ = ["card", "version"]

_NAME = "ashapp-backend"

_EXAMPLES = {"code": "418", "seconds": "1"}
_ARGUMENT = re.compile(r"<(\w+)>")


def card() -> Response:
    """Return this card: the service, its version and its endpoints."""
    facts = {
        "name": _NAME,
        "version": ashapp.__version__,
        "hostname": socket.gethostname(),
        "python": platform.python_version(),
        "endpoints": [_endpoint(rule) for rule in current_app.url_map.iter_rules()],
    }
    # The first of equals wins: JSON, for a client that accepts anything.
    accepted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    response = _page(facts) if accepted == "text/html" else jsonify(facts)
    response.vary.add("Accept")
    return response


def version() -> Response:
    """Return the versions of the service, Python, Flask and Werkzeug, and the commit built."""
    return jsonify(
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


def _endpoint(rule: Rule) -> dict[str, Any]:
    arguments: dict[str, Any] = {name: _EXAMPLES[name] for name in rule.arguments}
    summary = getdoc(current_app.view_functions[rule.endpoint]) or ""
    return {
        "path": _ARGUMENT.sub(r"{\1}", rule.rule),
        "methods": sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}),
        "summary": summary.partition("\n")[0],
        "example": url_for(rule.endpoint, **arguments),
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
