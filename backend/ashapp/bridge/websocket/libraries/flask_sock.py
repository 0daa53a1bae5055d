# SPDX-License-Identifier: MIT
"""Lets Flask-Sock's WebSockets be read by fibers, not by a thread each.

Flask-Sock passes ``SOCK_SERVER_OPTIONS`` of an application's config to ``simple_websocket.Server``, which
takes its classes of threads, events and selectors from there. Any that the application has set stays.
"""

import sys
from collections.abc import MutableMapping
from inspect import signature
from typing import Any

from ashapp.bridge.websocket.libraries.application_socket import FiberSelector
from ashapp.bridge.websocket.libraries.fibers import FiberEvent, FiberThread

__all__ = ["CLASSES", "offer_fibers"]

#: Options of ``simple_websocket.Server``.
CLASSES = {"thread_class": FiberThread, "event_class": FiberEvent, "selector_class": FiberSelector}

_KEY = "SOCK_SERVER_OPTIONS"


def offer_fibers(config: MutableMapping[str, Any]) -> None:
    """Set the classes in *config*, unless it has some, or simple-websocket is not there or knows none."""
    options = config.get(_KEY, {})
    library = sys.modules.get("simple_websocket")
    if library is None or options.keys() & CLASSES.keys():
        return
    if CLASSES.keys() <= signature(library.Server).parameters.keys():
        config[_KEY] = {**options, **CLASSES}
