# SPDX-License-Identifier: MIT
"""The settings of ``ashapp dev``: the same settings as of the service, with defaults for a developer."""

from collections.abc import Mapping
from typing import Any

from ashapp.server.settings.model import ServerSettings
from ashapp.server.validation.record import Field

__all__ = ["DevelopmentSettings"]

# One process: the frames of a traceback are in the process that has raised it.
_OF_WORKERS = {"workers", "supervisor", "limit_max_requests", "limit_max_requests_jitter", "limit_max_memory"}

_DEFAULTS: Mapping[str, Any] = {
    "environment": "development",
    "host": "127.0.0.1",
    "reload": True,
    "management_port": "off",
    # A breakpoint is no reason to move a view to threads.
    "limit_blocking": 0.0,
    "timeout_graceful_shutdown": 0,
    "timeout_lifespan_shutdown": 1.0,
    "log_format": "console",
}
_FIELDS = {name: Field(ServerSettings.fields[name].kind, default) for name, default in _DEFAULTS.items()}


class DevelopmentSettings(ServerSettings, more=_FIELDS):
    """The settings of the service with other defaults. Settings of workers are ignored."""

    debug = True

    def __init__(self, **given: Any) -> None:
        super().__init__(**{name: value for name, value in given.items() if name not in _OF_WORKERS})
