# SPDX-License-Identifier: MIT
"""The factory of the reference application, and its routes."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from ashapp.api import problems
from ashapp.api.body import upload
from ashapp.api.card import card, version
from ashapp.api.delay import delay
from ashapp.api.echo import echo, headers
from ashapp.api.status import status

__all__ = ["ApiResponse", "create_app"]

_ANY = ("GET", "POST", "PUT", "PATCH", "DELETE")

_DEFAULTS = {
    "MAX_CONTENT_LENGTH": 1024**2,
    "MAX_DELAY_SECONDS": 10,
    "MAX_UPLOAD_SIZE": 1024**3,
}


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

    A class, where an ``after_request`` function would do too: such a function is synchronous, and would cost
    an async view a thread.
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
    - ``MAX_DELAY_SECONDS``: the longest wait that ``/delay`` accepts, in seconds; 10.
    - ``ASHAPP_COMMIT``: the commit that was built, for ``/version``; the environment variable of that name.
    """
    app = Flask("ashapp.api", static_folder=None)
    app.response_class = ApiResponse
    app.json = _OrderedJson(app)
    app.url_map.merge_slashes = False
    app.config.from_mapping(_DEFAULTS, ASHAPP_COMMIT=os.environ.get("ASHAPP_COMMIT"))
    app.config.from_mapping(config)
    problems.register(app)
    app.add_url_rule("/", view_func=card)
    app.add_url_rule("/version", view_func=version)
    app.add_url_rule("/echo", view_func=echo, methods=_ANY)
    app.add_url_rule("/headers", view_func=headers)
    app.add_url_rule("/status/<code>", view_func=status, methods=_ANY)
    app.add_url_rule("/delay/<seconds>", view_func=delay, methods=_ANY)
    app.add_url_rule("/upload", view_func=upload, methods=["POST", "PUT"])
    return app
