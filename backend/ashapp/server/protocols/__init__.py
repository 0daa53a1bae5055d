# SPDX-License-Identifier: MIT
"""uvicorn's HTTP/1.1 protocols, with limits for what a client may send, and for how long it may take.

uvicorn itself waits for ever for a head or a body, and for a client that does not read. With httptools it
takes heads of any size (encode/uvicorn#157).
"""

import functools
from typing import Any

from ashapp.server.protocols.limits import ConnectionLimits

__all__ = ["ConnectionLimits", "limited_protocol"]


def limited_protocol(http: str | None, limits: ConnectionLimits) -> Any:
    """Return a factory of the protocol for connections, for a value of uvicorn's option ``http``; or None.

    None stands for a protocol that has no limits here, such as ``zttp``. ``auto`` is httptools where that is
    installed, whatever else uvicorn knows by now.
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
