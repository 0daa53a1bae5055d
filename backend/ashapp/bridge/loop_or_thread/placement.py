# SPDX-License-Identifier: MIT
"""Where each view of a Flask application runs, on the loop or on a thread, and why.

A view runs on the loop if it is async as far as Flask sees, is not kept on threads, and nothing around it
could block the loop (see ``hindrances`` and ``converters``). So does Flask's own view of a static folder,
while a thread reads its files (see ``static_files``). A view that is kept on threads is awaited on a loop of
its request alone. It is kept there by a mark, by the application's config, or because its library is known to
block. Each decision is made once for a view, and has a reason that names the cause.
"""

from typing import Any, NamedTuple

from flask.app import Flask

from ashapp.bridge.loop_or_thread.converters import guard_converters, may_block
from ashapp.bridge.loop_or_thread.hindrances import around, find_hindrance
from ashapp.bridge.loop_or_thread.marks import (
    ASYNC_VIEWS,
    STATIC_FILES,
    is_nonblocking,
    is_on_thread,
    keeps_on_threads,
    why_it_blocks,
)
from ashapp.bridge.loop_or_thread.static_files import folder_of, static_paths, why_changed
from ashapp.bridge.loop_or_thread.tools import prepare, tool_of
from ashapp.bridge.loop_or_thread.views import (
    ViewKind,
    async_methods,
    blueprints_of,
    is_async,
    kind_of,
    name_of,
    sync_decorators,
)
from ashapp.bridge.messages.attributes import attribute_of

__all__ = ["Place", "Placement"]

_SYNC = "sync view"


class Place(NamedTuple):
    """Where a view runs; *reason* says why it is a thread, and is empty for the loop.

    *own_loop* says that the coroutines of its requests are kept off the server's loop, as they may block.
    *serves_files* says that the view is Flask's own of a static folder, on the loop.
    """

    on_loop: bool
    reason: str = ""
    own_loop: bool = False
    serves_files: bool = False


class Placement:
    """Decides for the views of *app*; remembers it until the view or the application changes."""

    def __init__(self, app: Flask) -> None:
        #: Whether a URL converter may block: see ``converters``.
        self.guarded = False
        #: Prefixes of the paths that a layer around the application serves, which may block.
        self.foreign_paths: tuple[str, ...] = ()
        self._app = app
        self._places: dict[str, tuple[Any, Place]] = {}
        self._moved: dict[str, Place] = {}
        self._number_of_views = 0
        self._has_async_views = False
        self._static_paths: tuple[str, ...] = ()
        self._surroundings: tuple[Any, ...] = ()
        self._hindrance: str | None = None

    def may_be_on_loop(self, path: str | None = None) -> bool:
        """Say whether the view for *path*, or any view, may run on the loop. Quick."""
        app = self._app
        if self._number_of_views != len(app.view_functions):
            self._number_of_views = len(app.view_functions)
            self._places.clear()
            self.guarded = guard_converters(app.url_map)
            self._has_async_views = any(
                is_async(view) or is_nonblocking(view) for view in app.view_functions.values()
            )
            self._static_paths = static_paths(app)
        if not self._has_async_views:
            paths = self._static_paths
            if not (paths if path is None else path.startswith(paths)):
                return False
        surroundings = (
            vars(app).get("wsgi_app"),
            app.session_interface,
            len(app.url_value_preprocessors),
            app.config.get(ASYNC_VIEWS),
            app.config.get(STATIC_FILES),
        )
        if surroundings != self._surroundings:
            self._surroundings = surroundings
            self._places.clear()
            self._hindrance = self.hindrance()
            own = (attribute_of(layer, "engineio_path") for layer in around(app) if tool_of(layer))
            self.foreign_paths = tuple(path for path in own if path)
        return self._hindrance is None

    def hindrance(self) -> str | None:
        """Return what keeps every async view off the loop, by name, or None."""
        if keeps_on_threads(self._app, ASYNC_VIEWS):
            return f"{ASYNC_VIEWS} is 'thread'"
        prepare(self._app)
        return find_hindrance(self._app)

    def of(self, endpoint: str) -> Place:
        """Return where the view of *endpoint* runs. From any thread."""
        moved = self._moved.get(endpoint)
        if moved is not None:
            return moved
        view = self._app.view_functions.get(endpoint)
        known, place = self._places.get(endpoint, (None, None))
        if place is None or known is not view:
            self.may_be_on_loop()
            place = self._decide(endpoint, view)
            self._places[endpoint] = (view, place)
        return place

    def is_isolated(self, endpoint: str) -> bool:
        """Say whether each request has thread-local values of its own, as its view is awaited on a loop."""
        place = self.of(endpoint)
        return place.own_loop and place.reason != _SYNC

    def move(self, endpoint: str, reason: str) -> None:
        """Keep the view of *endpoint* on threads from now on, with a loop of its own. From any thread."""
        self._moved[endpoint] = Place(on_loop=False, reason=reason, own_loop=True)

    def move_back(self, endpoint: str) -> None:
        """Undo ``move``. From any thread."""
        self._moved.pop(endpoint, None)

    def _decide(self, endpoint: str, view: Any) -> Place:
        kept = self._why_kept(endpoint, view)
        has_files = folder_of(self._app, view) is not None
        own = None
        if has_files:
            own = why_changed(self._app, endpoint, view)
        elif not (is_async(view) or self._is_quick_websocket(endpoint, view)):
            own = _why_sync(view)
        reason = own
        if own != _SYNC:
            reason = kept or own or self._hindrance or self._why_matched_on_thread(endpoint)
        return Place(
            not reason, reason or "", own_loop=kept is not None, serves_files=has_files and not reason
        )

    def _is_quick_websocket(self, endpoint: str, view: Any) -> bool:
        """Say whether *view* is a handler of WebSockets, for a library, that waits for nothing else."""
        return is_nonblocking(view) and any(
            rule.websocket for rule in self._app.url_map.iter_rules() if rule.endpoint == endpoint
        )

    def _why_kept(self, endpoint: str, view: Any) -> str | None:
        if keeps_on_threads(self._app, ASYNC_VIEWS):
            return f"{ASYNC_VIEWS} is 'thread'"
        if is_on_thread(view):
            return "it is marked on_thread"
        for name in blueprints_of(endpoint):
            if is_on_thread(self._app.blueprints.get(name)):
                return f"the blueprint {name!r} is marked on_thread"
        return why_it_blocks(view)

    def _why_matched_on_thread(self, endpoint: str) -> str | None:
        try:
            rules = self._app.url_map.iter_rules(endpoint)
        except KeyError:  # it has none
            return None
        name = next(filter(None, map(may_block, rules)), None)
        return None if name is None else f"the URL converter {name!r} is not marked nonblocking"


def _why_sync(view: Any) -> str:
    kind = kind_of(view)
    if kind is ViewKind.NONE:
        return "there is no view function"
    if kind is ViewKind.CLASS_BASED and async_methods(view):
        return f"Flask calls the class-based view {view.view_class.__qualname__} through a sync function"
    if kind is ViewKind.DECORATED_ASYNC:
        names = sync_decorators(view)
        decorators = "decorator" if len(names) == 1 else "decorators"
        return f"the sync {decorators} {', '.join(names)} in front of the async view"
    if kind is ViewKind.ASYNC_CALLABLE:
        return f"{name_of(view)} is an object, whose async __call__ Flask does not see"
    return _SYNC
