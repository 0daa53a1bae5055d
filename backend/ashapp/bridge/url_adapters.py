# SPDX-License-Identifier: MIT
"""Flask's URL adapter, bound once for each host and not again for each request.

``Flask.create_url_adapter`` derives server name, scheme, script name and subdomain of a request, which takes
a sixth of the time that Flask needs for a small view. These depend on a few entries of the environ, and
are the same in nearly all requests. So the adapter that Flask made is kept as a template, and
later requests get a copy with their own path, method and query. Whatever is out of the
ordinary (a subclass, a map that matches hosts, trusted hosts, an upgrade) is left to Flask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import flask
from werkzeug.routing import Map, MapAdapter

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UrlAdapters"]

# Clients choose the Host header: so many are kept, then all are forgotten.
_MAX_TEMPLATES = 64


class UrlAdapters:
    """A stand-in for the ``create_url_adapter`` of *app* that gives the same adapters, faster."""

    def __init__(self, app: flask.Flask) -> None:
        self._app = app
        self._create: Callable[[Any], MapAdapter | None] = app.create_url_adapter
        self._templates: dict[Any, _Template] = {}

    @staticmethod
    def applies_to(app: flask.Flask) -> bool:
        """Say whether *app* binds URLs as Flask and Werkzeug do, with no code of its own."""
        url_map = type(app.url_map)
        return (
            type(app).create_url_adapter is flask.Flask.create_url_adapter
            and "create_url_adapter" not in vars(app)
            and url_map.bind is Map.bind
            and url_map.bind_to_environ is Map.bind_to_environ
        )

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Return the adapter for *request*; see ``flask.Flask.create_url_adapter``."""
        if request is None or not self._is_ordinary(request):
            return self._create(request)
        environ = request.environ
        url_map = self._app.url_map
        key = (
            environ.get("HTTP_HOST"),
            environ["wsgi.url_scheme"],
            environ["SCRIPT_NAME"],
            environ["SERVER_NAME"],
            environ["SERVER_PORT"],
            self._app.config["SERVER_NAME"],
            url_map.default_subdomain,
        )
        template = self._templates.get(key)
        if template is None or template.adapter.map is not url_map:
            return self._remember(key, request)
        if template.host is not None:
            request.host = template.host
        return template.bind(environ)

    def _is_ordinary(self, request: flask.Request) -> bool:
        return not (
            self._app.url_map.host_matching
            or self._app.subdomain_matching
            or request.trusted_hosts is not None
            or self._app.config.get("TRUSTED_HOSTS") is not None
            or "HTTP_UPGRADE" in request.environ
        )

    def _remember(self, key: Any, request: flask.Request) -> MapAdapter | None:
        adapter = self._create(request)
        if type(adapter) is MapAdapter:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            # Flask 3.1 sets the host, which Flask 3.0 leaves to be computed when it is asked for.
            self._templates[key] = _Template(adapter, vars(request).get("host"))
        return adapter


class _Template:
    """An adapter to copy, and the host of the requests that it is for."""

    __slots__ = ("adapter", "host")

    def __init__(self, adapter: MapAdapter, host: str | None) -> None:
        self.adapter = adapter
        self.host = host

    def bind(self, environ: dict[str, Any]) -> MapAdapter:
        adapter = MapAdapter.__new__(MapAdapter)
        vars(adapter).update(
            vars(self.adapter),
            path_info=_decode(environ["PATH_INFO"]),
            default_method=environ["REQUEST_METHOD"],
            query_args=_decode(environ["QUERY_STRING"]),
        )
        return adapter


def _decode(text: str) -> str:
    """Undo the latin-1 of PEP 3333, as Werkzeug does for its adapter."""
    return text if text.isascii() else text.encode("latin-1").decode(errors="replace")
