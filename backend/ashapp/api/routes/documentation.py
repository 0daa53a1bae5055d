# SPDX-License-Identifier: MIT
"""The reference of all operations, for programs and for people."""

from itertools import groupby
from typing import Any

from flask import Response, current_app, json, jsonify, request

from ashapp.api.card import version
from ashapp.api.openapi.document import document, with_body
from ashapp.api.openapi.operations import Answer, Endpoint, Routes
from ashapp.api.openapi.parameters import allowed
from ashapp.api.page import page

__all__ = ["docs", "openapi", "routes"]

# Of the examples in the paths.
_AUTHORIZATIONS = {"basic": "Basic bWU6c2VjcmV0", "bearer": "Bearer open-sesame"}

routes = Routes("Reference", "What there is.")


@routes.add(
    "/openapi.json",
    answers=(
        Answer(200, "The document.", "application/json", headers={"ETag": "Of this document."}),
        Answer(304, "The client has it already."),
    ),
)
def openapi() -> Response:
    """Return the OpenAPI document, made of what validates the requests."""
    response = jsonify(_document())
    response.headers["Cache-Control"] = "no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@routes.add("/docs", answers=(Answer(200, "The page.", "text/html"),))
def docs() -> Response:
    """Show all operations on a page, where they can be tried; without JavaScript it can be read."""
    described = _document()
    entries = [_entry(each, described) for each in _endpoints()]
    groups = groupby(entries, key=lambda entry: entry["routes"])
    facts = {
        "document": described,
        "groups": [(routes, list(members)) for routes, members in groups],
        "root": request.script_root,
        "allowed": allowed,
    }
    return page("docs", facts, has_script=True)


def _endpoints() -> list[Endpoint]:
    endpoints: list[Endpoint] = current_app.extensions["ashapp.api"]
    return endpoints


def _document() -> dict[str, Any]:
    known = current_app.extensions.get("ashapp.api.document")
    if known is None:
        known = document("ashapp reference API", version().version, _endpoints())
        current_app.extensions["ashapp.api.document"] = known
    # Where the application is mounted, as far as this client sees.
    return {**known, "servers": [{"url": request.script_root or "/"}]}


def _entry(endpoint: Endpoint, described: dict[str, Any]) -> dict[str, Any]:
    """Return what the page shows of *endpoint*, as the document describes it."""
    operation = endpoint.operation
    if operation.is_websocket:
        about = described["x-websockets"][endpoint.path]
    else:
        path = described["paths"][endpoint.path]
        # Of several methods, one with a body has more to show.
        method = next(filter(with_body, operation.methods), operation.methods[0])
        about = path[method.lower()]
    return {
        **about,
        "id": endpoint.name,
        "path": endpoint.path,
        "methods": operation.methods,
        "is_websocket": operation.is_websocket,
        "routes": operation.routes,
        "authorization": _AUTHORIZATIONS.get(operation.security or ""),
        "body_example": _example_of(endpoint),
    }


def _example_of(endpoint: Endpoint) -> str | None:
    """Return a body that is allowed, or None if the operation has none."""
    if endpoint.body is None:
        return "" if endpoint.operation.takes else None
    fields = endpoint.body[1].model_fields
    return json.dumps({name: field.examples[0] for name, field in fields.items() if field.examples})
