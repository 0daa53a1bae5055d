# SPDX-License-Identifier: MIT
"""What is sent by OpenTelemetry's own variables; without them nothing of it is imported."""

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from ashapp.observe.exporters import Signal, is_asked_for
from ashapp.server.errors import StartupError

__all__ = ["if_asked_for"]

_log = logging.getLogger("ashapp.server")

T = TypeVar("T")


def if_asked_for(signal: Signal, environ: Mapping[str, str], make: Callable[[], T]) -> T | None:
    """Return what *make* returns, or None if *signal* is not asked for, or OpenTelemetry is not installed.

    Raises:
        StartupError: a variable names an exporter that is not there.

    """
    if not is_asked_for(signal, environ):
        return None
    try:
        return make()
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
