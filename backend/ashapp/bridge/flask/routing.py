# SPDX-License-Identifier: MIT
"""Finds the rule of a request before Flask does: the rule has the view, and the view has its place.

An application may bind its URL map in a way of its own. Then nothing is known before Flask has matched.
"""

from collections.abc import Callable
from functools import partial

import flask
from flask.app import Flask
from werkzeug.routing import Rule

from ashapp.bridge.concurrency.call import Call
from ashapp.bridge.flask.accelerators.matching import UrlAdapters
from ashapp.bridge.loop_or_thread.converters import on_loop
from ashapp.bridge.loop_or_thread.hindrances import binds_as_flask
from ashapp.bridge.loop_or_thread.placement import Place, Placement
from ashapp.bridge.loop_or_thread.views import is_async
from ashapp.bridge.messages.types import Environ, RequestInfo
from ashapp.bridge.websocket.rules import is_native

__all__ = ["Routing", "note_match"]


class Routing:
    """Finds the rules of *app*, and the places of their views in *placement*. On the loop.

    *adapters* match as Flask's own do, but faster; without them Flask's are used.
    """

    _match: Callable[[Environ], Rule | None] | None = None

    def __init__(self, app: Flask, placement: Placement, adapters: UrlAdapters | None) -> None:
        self._app = app
        self._placement = placement
        if adapters is not None:
            self._match = adapters.match
        elif binds_as_flask(app):
            self._match = partial(_match, app)

    def place_on_loop(self, environ: Environ) -> Place | None:
        """Return the place of the view for *environ* if that is the loop; matches the request, if need be."""
        rule = self._match_early(environ)
        place = None if rule is None else self._placement.of(rule.endpoint)
        return place if place is not None and place.on_loop else None

    def handler_runs_on_loop(self, environ: Environ) -> bool:
        """Say whether the handler for the WebSocket of *environ* runs on the loop.

        One of ``websocket`` does if it is async, and one of a library if it is marked ``nonblocking``.
        """
        rule = self._match_early(environ)
        if rule is None or not self._placement.of(rule.endpoint).on_loop:
            return False
        view = self._app.view_functions.get(rule.endpoint)
        return is_native(view) == is_async(view)

    def has_native_handler(self, environ: Environ) -> bool:
        """Say whether the handler for the WebSocket of *environ* is one of ``websocket``."""
        rule = self._find(environ)
        return rule is not None and is_native(self._app.view_functions.get(rule.endpoint))

    def note_route(self, info: RequestInfo, environ: Environ) -> None:
        """Note the rule of a request that was given up before Flask had matched it."""
        rule = self._find(environ)
        if rule is not None:
            info.route, info.endpoint = rule.rule, rule.endpoint

    def _find(self, environ: Environ) -> Rule | None:
        return None if self._match is None else on_loop(self._match, environ)

    def _match_early(self, environ: Environ) -> Rule | None:
        match = self._match
        path = environ.get("PATH_INFO", "")
        if match is None or not self._placement.may_be_on_loop(path):
            return None
        if path.startswith(self._placement.foreign_paths):
            return None
        return on_loop(match, environ) if self._placement.guarded else match(environ)


def note_match(call: Call, request: flask.Request) -> None:
    """Note which rule has matched the first request of *call*: a test client in a view begins another one."""
    call.matched = True
    rule = request.url_rule
    if rule is not None:
        if call.info is not None and call.info.route is None:
            call.info.route, call.info.endpoint = rule.rule, rule.endpoint
        call.note_match(rule.endpoint)


def _match(app: Flask, environ: Environ) -> Rule | None:
    """Match the request of *environ* before Flask does; return the rule, or None for no match."""
    try:
        adapter = app.create_url_adapter(app.request_class(environ))
        return None if adapter is None else adapter.match(return_rule=True)[0]
    except Exception:
        return None  # Flask meets it again, and tells the client
