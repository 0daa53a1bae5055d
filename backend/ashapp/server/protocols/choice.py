# SPDX-License-Identifier: MIT
"""The limited protocol for a value of uvicorn's option ``http``."""

import functools
from typing import Any

from ashapp.server.protocols.messages.limits import ConnectionLimits

__all__ = ["limited_protocol"]


def limited_protocol(http: str | None, limits: ConnectionLimits) -> Any:
    """Return what makes the protocol of a connection, in place of uvicorn's; None where there is no such.

    Like uvicorn, choose httptools where it is installed. What is returned can be pickled.
    """
    if http in {None, "auto", "httptools"}:
        try:
            from ashapp.server.protocols.httptools_protocol import LimitedHttpToolsProtocol  # noqa: PLC0415 - optional
        except ImportError:
            if http == "httptools":
                raise
        else:
            return functools.partial(LimitedHttpToolsProtocol, limits=limits)
    elif http != "h11":
        return None
    from ashapp.server.protocols.h11_protocol import LimitedH11Protocol  # noqa: PLC0415 - only where it is chosen

    return functools.partial(LimitedH11Protocol, limits=limits)
