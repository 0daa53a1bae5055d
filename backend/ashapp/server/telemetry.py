# SPDX-License-Identifier: MIT
"""Exports of OpenTelemetry, by its own variables. Without them nothing of it is imported."""

import logging
import pkgutil
from collections.abc import Mapping
from typing import Any

from ashapp.observe.exporters import Signal, is_asked_for
from ashapp.server.errors import StartupError

__all__ = ["if_asked_for"]

_log = logging.getLogger("ashapp.server")


def if_asked_for(signal: Signal, environ: Mapping[str, str], maker: str, **options: Any) -> Any:
    """Return what *maker*, such as ``module:name``, makes of *environ* and *options*.

    None if *signal* is not asked for, or OpenTelemetry is not installed: *maker* is not imported before, as
    it costs time and memory.

    Raises:
        StartupError: a variable names an exporter that is not there.
    """
    if not is_asked_for(signal, environ):
        return None
    try:
        return pkgutil.resolve_name(maker)(environ=environ, **options)
    except ImportError as error:
        _log.warning(
            "%s are asked for by OTEL_ variables, but can't be made: %s. "
            "Install ashapp-backend[otel], or set OTEL_SDK_DISABLED=true",
            signal.capitalize(),
            error,
        )
        return None
    except ValueError as error:
        raise StartupError(str(error)) from error
