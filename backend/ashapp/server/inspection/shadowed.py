# SPDX-License-Identifier: MIT
"""Tell at startup which views are never reached, as a probe is answered at their path."""

from collections.abc import Iterable, Iterator

from ashapp.server.inspection.routes import Route
from ashapp.server.settings import Settings

__all__ = ["shadowed"]

_SETTINGS = ("livez_path", "readyz_path", "healthz_path")


def shadowed(routes: Iterable[Route], settings: Settings) -> Iterator[str]:
    """Yield a line for each of *routes* whose rule is the path of a probe.

    A rule that has variables is meant for other paths.
    """
    paths = {getattr(settings, name): name for name in _SETTINGS if settings.probes}
    for route in routes:
        name = paths.get(route.rule)
        if name:
            yield (
                f"{settings.app} has a view at {route.rule} ({route.endpoint}) that is never called: a probe "
                f"is answered there; choose another {name}, or switch it off"
            )
