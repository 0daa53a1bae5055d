# SPDX-License-Identifier: MIT
"""The factory of the reference application, and its routes."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from ashapp.api import card, problems
from ashapp.api.cors import allow_origins
from ashapp.api.live import Live
from ashapp.api.openapi.operations import Endpoint
from ashapp.api.routes import (
    answers,
    authentication,
    caching,
    call,
    cookies,
    documentation,
    place,
    requests,
    sockets,
    streams,
)
from ashapp.bridge import FlaskToAsgi

__all__ = ["ROUTES", "ApiResponse", "create_app"]

#: All operations, by topic.
ROUTES = tuple(
    module.routes
    for module in (
        card,
        documentation,
        requests,
        answers,
        streams,
        caching,
        cookies,
        authentication,
        place,
        call,
        sockets,
    )
)

_DEFAULTS = {
    "LIVE_PAGE": True,
    "MAX_CONTENT_LENGTH": 1024**2,
    "MAX_DELAY_SECONDS": 10,
    "MAX_UPLOAD_SIZE": 1024**3,
    "MAX_VIEWERS": 100,
}

# Keys of the configuration that are variables of the environment.
_VARIABLES = ("ASHAPP_API_BACKENDS", "ASHAPP_API_CORS_ORIGINS", "ASHAPP_COMMIT")

_HEADERS = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
)


class ApiResponse(Response):
    """A response with protective headers, each of which a view may override.

    A class, not an ``after_request`` function: that would be sync, and cost an async view a thread.
    """

    default_mimetype = "text/plain"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, value in _HEADERS.items():
            self.headers.setdefault(name, value)


class _OrderedJson(DefaultJSONProvider):
    """JSON whose members stay in the order in which a view wrote them."""

    sort_keys = False


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Return a new reference application.

    ``config`` has precedence over the defaults, and may be any Flask configuration. Keys of this application:

    - ``MAX_CONTENT_LENGTH``: bytes that ``/echo`` reads of a body; 1 MiB. None: no limit.
    - ``MAX_UPLOAD_SIZE``: bytes that ``/upload`` reads of a body; 1 GiB. None: no limit.
    - ``MAX_DELAY_SECONDS``: the longest wait that ``/delay`` accepts, and the longest between two pieces of a
      stream, in seconds; 10.
    - ``LIVE_PAGE``: whether ``/`` is a page for browsers; True. It is live under ``ashapp serve``, whose
      setting of that name can switch it off.
    - ``MAX_VIEWERS``: how many may watch the live page of a worker at once; 100.

    These are taken from environment variables of the same names, unless they are given:

    - ``ASHAPP_API_BACKENDS``: what ``/call`` asks, such as ``stock=http://stock:5000/version``, separated by
      commas; none.
    - ``ASHAPP_API_CORS_ORIGINS``: the origins whose scripts may read answers, separated by commas, or ``*``;
      none.
    - ``ASHAPP_COMMIT``: the commit that was built, for ``/version``.

    Raises:
        ValueError: ``ASHAPP_API_BACKENDS`` has another form, or there is no httpx for it.
    """
    app = Flask("ashapp.api", static_folder=None)
    app.response_class = ApiResponse
    app.json = _OrderedJson(app)
    app.url_map.merge_slashes = False
    app.config.from_mapping(_DEFAULTS, **{name: os.environ.get(name) for name in _VARIABLES})
    app.config.from_mapping(config)
    app.config["BACKENDS"] = call.parse_backends(app.config["ASHAPP_API_BACKENDS"] or "")
    app.extensions["ashapp.live"] = Live(app)
    problems.register(app)
    allow_origins(app, _parts(app.config["ASHAPP_API_CORS_ORIGINS"] or ""))
    app.extensions["ashapp.api"] = [
        Endpoint(app, operation) for routes in ROUTES for operation in routes.operations
    ]
    # So that views may be async generators under any server, and in Flask's test client.
    FlaskToAsgi(app)
    return app


def _parts(text: str) -> list[str]:
    return [part for part in (each.strip() for each in text.split(",")) if part]
