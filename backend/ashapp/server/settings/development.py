# SPDX-License-Identifier: MIT
"""The settings of ``ashapp dev``: those of the service, with defaults for who develops an application."""

from typing import Any, Literal, cast

from pydantic import create_model, model_validator

from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.types import PortOrOff, PositiveSeconds, Seconds, Text, WholeSeconds

__all__ = ["DevelopmentSettings"]

# There is one process: the frames of a traceback are in the one that has raised it.
_OF_WORKERS = {"workers", "supervisor", "limit_max_requests", "limit_max_requests_jitter", "limit_max_memory"}


def _without_workers(values: Any) -> Any:
    return {name: value for name, value in values.items() if name not in _OF_WORKERS}


_FIELDS: dict[str, Any] = {
    "environment": (Literal["production", "development"], "development"),
    "host": (Text, "127.0.0.1"),
    "reload": (bool, True),
    "management_port": (PortOrOff, "off"),
    # A breakpoint is no reason to move a view to threads.
    "limit_blocking": (Seconds, 0.0),
    "timeout_graceful_shutdown": (WholeSeconds, 0),
    "timeout_lifespan_shutdown": (PositiveSeconds, 1.0),
    "log_format": (Literal["auto", "json", "console"], "console"),
}

DevelopmentSettings: type[Settings] = create_model(
    "DevelopmentSettings",
    __base__=ServerSettings,
    __module__=__name__,
    __validators__={"without_workers": cast("Any", model_validator(mode="before")(_without_workers))},
    **_FIELDS,
)
DevelopmentSettings.debug = True
