# SPDX-License-Identifier: MIT
"""Lets Flask-Sock's WebSockets be read by greenlets, not by a thread each.

Flask-Sock passes ``SOCK_SERVER_OPTIONS`` of an application's config to ``simple_websocket.Server``, which
takes its classes of threads, events and selectors from there. Any that the application has set stays.
"""

import sys
from collections.abc import MutableMapping
from inspect import signature
from typing import Any

from ashapp.bridge.websocket.libraries.application_socket import GreenletSelector
from ashapp.bridge.websocket.libraries.greenlets import GreenletEvent, GreenletThread

__all__ = ["CLASSES", "offer_greenlets"]

#: Options of ``simple_websocket.Server``.
CLASSES = {"thread_class": GreenletThread, "event_class": GreenletEvent, "selector_class": GreenletSelector}

_KEY = "SOCK_SERVER_OPTIONS"


def offer_greenlets(config: MutableMapping[str, Any]) -> None:
    """Set the classes in *config*, unless it has some, or simple-websocket is not there or knows none."""
    options = config.get(_KEY, {})
    library = sys.modules.get("simple_websocket")
    if library is None or options.keys() & CLASSES.keys():
        return
    if CLASSES.keys() <= signature(library.Server).parameters.keys():
        config[_KEY] = {**options, **CLASSES}
