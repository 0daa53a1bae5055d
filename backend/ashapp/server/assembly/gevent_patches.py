# SPDX-License-Identifier: MIT
"""Keep gevent from replacing the threads of a process that serves.

Theory of operation. After ``gevent.monkey.patch_all()`` each new thread is a greenlet. It runs only while the
thread that has started it waits in gevent's own way. An event loop never does, so no view would run on a
thread any more. gevent tells its subscribers before it patches. A subscriber here makes it leave threads, and
what belongs to them, as they are. The other patches (sockets, ``time.sleep``) work in each thread, which has
greenlets of its own. Greenlets of the main thread run only with asyncio's loop, as that waits by gevent's
selectors.
"""

import importlib
import sys
from typing import Any

from ashapp.server.errors import StartupError

__all__ = ["are_limited", "forbid_replaced_threads", "limit"]

# The modules of threads, and those that gevent has for its main thread alone, such as for processes.
_LEFT_ALONE = ("thread", "queue", "subprocess", "os", "signal")
# The place of gevent's arguments.
_TOLD = "_gevent_saved_patch_all_module_settings"

_limited: list[object] = []


def limit() -> None:
    """From now on limit what gevent replaces. Without gevent nothing is imported."""
    try:
        subscribers = importlib.import_module("zope.event").subscribers  # comes with gevent
    except ImportError:
        return
    if _answer not in subscribers:
        subscribers.append(_answer)


def are_limited() -> bool:
    """Return whether gevent would have replaced threads."""
    return bool(_limited)


def forbid_replaced_threads(label: str) -> None:
    """Raise `StartupError` if threads have been replaced, in spite of this module."""
    gevent: Any = sys.modules.get("gevent.monkey")
    eventlet: Any = sys.modules.get("eventlet.patcher")
    if gevent is not None and gevent.is_module_patched("threading"):
        remedy = "gevent.monkey.patch_all(thread=False)"
    elif eventlet is not None and eventlet.is_monkey_patched("thread"):
        remedy = "eventlet.monkey_patch(thread=False)"
    else:
        return
    raise StartupError(
        f"{label} would hang, as greenlets take the place of threads: call {remedy}, or remove it"
    )


def _answer(event: Any) -> None:
    if type(event).__name__ != "GeventWillPatchAllEvent":
        return
    told = dict(event.patch_all_arguments)
    if not told.get("thread"):
        return
    _limited.append(event)
    monkey = sys.modules["gevent.monkey"]
    monkey.saved.pop(_TOLD, None)
    monkey.patch_all(**{**told, **dict.fromkeys(_LEFT_ALONE, False)})
    raise sys.modules["gevent.events"].DoNotPatch
