# SPDX-License-Identifier: MIT
"""The rules of a Flask application, and where the view of each runs."""

from dataclasses import dataclass, field
from typing import Any, Literal

from flask.app import Flask
from werkzeug.routing import Rule

from ashapp.bridge import FlaskToAsgi, WsgiToAsgi
from ashapp.bridge.loop_or_thread.placement import Placement
from ashapp.bridge.loop_or_thread.views import ViewKind, async_methods, full_name_of, is_async, kind_of

__all__ = ["Route", "flask_application", "hindrance", "list_routes"]


@dataclass(frozen=True)
class Route:
    """A rule and its view; *reason* says why the view runs on a thread, and is None on the loop.

    *domain* is the host or the subdomain of the rule, if any. *methods* is empty for any method.
    *async_methods* are those of a class-based view. *own_loop* says that coroutines of a view on a thread run
    on a loop of their own, not on the server's. *held_by* are hooks that make a view on the loop hold a
    thread while it waits. *websocket* says that the rule is for WebSockets: each holds a thread until it is
    closed, unless its view is on the loop.
    """

    rule: str
    domain: str | None
    methods: list[str]
    endpoint: str
    view: str | None
    kind: ViewKind
    async_methods: list[str]
    runs_on: Literal["loop", "thread"]
    reason: str | None
    own_loop: bool = False
    held_by: list[str] = field(default_factory=list)
    websocket: bool = False


def flask_application(found: object) -> Flask | None:
    """Return the Flask application that *found* is, or is a bridge of; None for another WSGI callable."""
    application = getattr(found, "wsgi_application", None) if isinstance(found, WsgiToAsgi) else found
    return application if isinstance(application, Flask) else None


def hindrance(found: object) -> str | None:
    """Return what keeps every async view of *found* off the loop, by name, or None."""
    app = flask_application(found)
    if app is None:
        return "it is no Flask application"
    if isinstance(found, WsgiToAsgi) and not isinstance(found, FlaskToAsgi):
        return "it is bridged by WsgiToAsgi, which knows nothing of views, and not by FlaskToAsgi"
    return Placement(app).hindrance()


def list_routes(found: object) -> list[Route]:
    """Return the rules of the Flask application in *found*, sorted; none for another WSGI callable."""
    app = flask_application(found)
    if app is None:
        return []
    placement = Placement(app)
    common = hindrance(found)
    routes = [_route(app, rule, placement, common) for rule in app.url_map.iter_rules()]
    return sorted(routes, key=lambda route: (route.domain or "", route.rule, route.methods, route.endpoint))


def _route(app: Flask, rule: Rule, placement: Placement, common: str | None) -> Route:
    view: Any = app.view_functions.get(rule.endpoint)
    kind = kind_of(view)
    is_class = kind is ViewKind.CLASS_BASED
    place = placement.of(rule.endpoint)
    reason = (common if is_async(view) else None) or place.reason or None
    return Route(
        rule=rule.rule,
        domain=(rule.host if app.url_map.host_matching else rule.subdomain) or None,
        methods=sorted(rule.methods or ()),
        endpoint=str(rule.endpoint),
        view=None if view is None else full_name_of(view.view_class if is_class else view),
        kind=kind,
        async_methods=async_methods(view) if is_class else [],
        runs_on="thread" if reason else "loop",
        reason=reason,
        own_loop=place.own_loop,
        websocket=bool(rule.websocket),
    )
