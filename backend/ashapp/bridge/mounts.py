# SPDX-License-Identifier: MIT
"""Other ASGI applications below prefixes of the path, beside the one that is bridged.

A request or a WebSocket whose path lies below the prefix of a mount goes to the mount. The bridged
application does not see it. The longest prefix wins. The mount gets the whole ``path``, and the prefix at the
end of ``root_path`` (ASGI, "HTTP Connection Scope"), so that the links it makes are right. The limits and
time-outs of the bridge hold for the bridged application alone.

Each application has a lifespan and a ``state`` of its own. They start in the order of the mapping, after the
``lifespan`` of the bridged application and before its ``on_startup``. They stop in the reverse order.
"""

import re
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ashapp.bridge.concurrency.futures import without_exit
from ashapp.bridge.lifespan_runner import LifespanError, LifespanRunner
from ashapp.bridge.messages.paths import split_path
from ashapp.bridge.messages.types import INFO, AsgiApplication, Receive, Scope, Send

__all__ = ["Mount", "Mounts"]

_PREFIX = re.compile(r"(/[^/?#\s]+)+")


class Mount:
    """The application *app* below *prefix*; another mount of it, *twin*, may have its lifespan."""

    def __init__(self, prefix: str, app: AsgiApplication, twin: "Mount | None" = None) -> None:
        self.prefix = prefix
        self.app = app
        self._owner = twin or self
        #: The ``state`` that its startup has filled.
        self.state: dict[str, Any] = {}

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Run the application's lifespan around the block.

        Raises:
            LifespanError: its startup or its shutdown failed.
        """
        if self._owner is not self:
            yield
            return
        runner = LifespanRunner(self.app)
        await self._naming_itself(runner.start())
        self.state = runner.state
        try:
            yield
        finally:
            await self._naming_itself(runner.stop())

    async def _naming_itself(self, step: Coroutine[Any, Any, None]) -> None:
        try:
            await step
        except LifespanError as error:
            raise LifespanError(f"mount {self.prefix}: {error}") from error

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one *scope* whose path lies below the prefix."""
        info = scope.get(INFO)
        if info is not None:
            info.place, info.route = "loop", self.prefix
            info.bind()
        inner = {key: value for key, value in scope.items() if key != INFO}
        inner["root_path"] = scope.get("root_path", "").rstrip("/") + self.prefix
        inner["state"] = self._owner.state.copy()
        await without_exit(self.app(inner, receive, send))


class Mounts(dict[str, Mount]):
    """The mounts of *apps*, a mapping from prefixes to ASGI applications.

    Raises:
        TypeError: an application is not callable.
        ValueError: a prefix does not begin with a slash, or ends with one.
    """

    def __init__(self, apps: Mapping[str, AsgiApplication]) -> None:
        super().__init__()
        self.add(apps)

    def add(self, apps: Mapping[str, AsgiApplication]) -> None:
        """Mount *apps* as well; see the class for what is raised."""
        for prefix, app in apps.items():
            if not _PREFIX.fullmatch(prefix):
                raise ValueError(
                    f"mount {prefix!r}: expected a path such as '/mcp', with a slash before and none after it"
                )
            if not callable(app):
                raise TypeError(f"mount {prefix!r}: expected an ASGI application, got {app!r}")
            twin = next((mount for mount in self.values() if mount.app is app), None)
            self[prefix] = Mount(prefix, app, twin)

    def find(self, scope: Scope) -> Mount | None:
        """Return the mount that *scope* is for; None if the bridged application is to serve it."""
        if not self or "path" not in scope:  # a lifespan has none
            return None
        path = split_path(scope)[1].encode("latin-1").decode("utf-8", "replace")
        while path:
            if path in self:
                return self[path]
            path = path.rpartition("/")[0]
        return None
