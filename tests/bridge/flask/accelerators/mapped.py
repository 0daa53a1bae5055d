# SPDX-License-Identifier: MIT
"""Applications with a few rules, and requests for them."""

from typing import Any

import flask
from werkzeug.routing import Rule
from werkzeug.test import EnvironBuilder

from ashapp.bridge.flask.accelerators.matching import UrlAdapters
from ashapp.bridge.messages.types import Environ

__all__ = ["environ_of", "make_app", "quick"]


def make_app(config: dict[str, Any] | None = None, **options: Any) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None, **options)
    app.config.update(config or {})
    any_host, one_host = ("<host>", "a.example") if app.url_map.host_matching else (None, None)
    app.url_map.add(Rule("/", endpoint="index", methods=["GET", "POST"], host=any_host))
    app.url_map.add(Rule("/item/<int:number>", endpoint="item", methods=["GET"], host=one_host))
    app.url_map.add(Rule("/socket", endpoint="socket", websocket=True, host=one_host))
    if app.subdomain_matching:
        app.url_map.add(Rule("/", endpoint="sub", subdomain="<sub>"))
    return app


def quick(app: flask.Flask) -> UrlAdapters:
    adapters = UrlAdapters(app)
    vars(app)["create_url_adapter"] = adapters.create_url_adapter
    return adapters


def environ_of(changes: dict[str, Any]) -> Environ:
    environ = EnvironBuilder().get_environ()
    environ.update(changes)
    return {key: value for key, value in environ.items() if value is not None}
