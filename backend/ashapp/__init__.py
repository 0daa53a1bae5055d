# SPDX-License-Identifier: MIT
"""Run a Flask application, unchanged, as an async ASGI service.

``FlaskToAsgi(app)`` is an ASGI 3 application; ``ashapp serve module:app`` serves one.
Importing this package imports neither uvicorn nor the command line; Flask comes with the first name that
needs it (PEP 562), so that ``ashapp check`` starts at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ashapp.api import create_app
    from ashapp.bridge import (
        BlockingWebSocket,
        BridgeOptions,
        ClientDisconnected,
        Event,
        FlaskToAsgi,
        WebSocket,
        WebSocketClosed,
        WsgiToAsgi,
        adopt_socketio,
        isolate_thread_locals,
        nonblocking,
        on_thread,
        sse,
        websocket,
    )
    from ashapp.server.health.readiness import readiness_check
    from ashapp.server.jobs.registry import run_once

__all__ = [
    "BlockingWebSocket",
    "BridgeOptions",
    "ClientDisconnected",
    "Event",
    "FlaskToAsgi",
    "WebSocket",
    "WebSocketClosed",
    "WsgiToAsgi",
    "__version__",
    "adopt_socketio",
    "create_app",
    "isolate_thread_locals",
    "nonblocking",
    "on_thread",
    "readiness_check",
    "run_once",
    "sse",
    "websocket",
]

__version__ = "0.1.0"

# The modules of the names that are not the bridge's.
_HOMES = {
    "create_app": "ashapp.api",
    "readiness_check": "ashapp.server.health.readiness",
    "run_once": "ashapp.server.jobs.registry",
}

if not TYPE_CHECKING:  # else a type checker would believe in any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
        home = importlib.import_module(_HOMES.get(name, "ashapp.bridge"))
        value = globals()[name] = getattr(home, name)
        return value


def __dir__() -> list[str]:
    return sorted(globals().keys() | set(__all__))
