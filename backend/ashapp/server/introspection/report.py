# SPDX-License-Identifier: MIT
"""A report on an application: its routes and hooks, and where each runs."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Self

from ashapp.bridge.loop_or_thread.hindrances import tools_around
from ashapp.bridge.loop_or_thread.views import full_name_of
from ashapp.server.introspection.hooks import Hook, holders, list_hooks
from ashapp.server.introspection.routes import Route, flask_application, hindrance, list_routes

__all__ = ["Report"]


@dataclass(frozen=True)
class Report:
    """The routes and hooks of the application that *target* names.

    *flask* is false, and there are no routes and hooks, for another WSGI callable. *reason* is what keeps
    every async view off the loop, None if nothing does. *mounts* has the targets of mounted applications by
    their prefixes. *tools* are the names of tools that wrap the application and only pass requests on.
    """

    target: str
    flask: bool
    reason: str | None
    routes: list[Route]
    hooks: list[Hook]
    mounts: dict[str, str] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, found: object, target: str, mounted: Mapping[str, str] = MappingProxyType({})) -> Self:
        """Report on what was *found* for *target*, with the targets that are *mounted* beside it."""
        app = flask_application(found)
        tools = [] if app is None else tools_around(app)
        hooks = list_hooks(found)
        routes = [
            replace(route, held_by=holders(hooks, route.endpoint))
            if route.runs_on == "loop" and not route.websocket
            else route
            for route in list_routes(found)
        ]
        own = {mount.prefix: full_name_of(mount.app) for mount in getattr(found, "mounts", {}).values()}
        return cls(target, app is not None, hindrance(found), routes, hooks, {**own, **mounted}, tools)

    def to_json(self) -> str:
        """Return it as a JSON object, whose members have the names of the fields."""
        return json.dumps(asdict(self), indent=2)
