# SPDX-License-Identifier: MIT
"""Lets greenlets read Flask-Sock's WebSockets, in place of a thread for each.

Flask-Sock passes ``SOCK_SERVER_OPTIONS`` of an application's config to ``simple_websocket.Server``. The
classes of threads, events and selectors are among these options. Those that the application has set stay.
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
    """Set the classes in *config*, unless it has some, or the installed simple-websocket takes none."""
    options = config.get(_KEY, {})
    library = sys.modules.get("simple_websocket")
    if library is None or options.keys() & CLASSES.keys():
        return
    if CLASSES.keys() <= signature(library.Server).parameters.keys():
        config[_KEY] = {**options, **CLASSES}
