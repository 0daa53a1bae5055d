# SPDX-License-Identifier: MIT
"""``asgiref.local.Local`` objects on the way from one thread to another.

Theory of operation. asgiref keeps what a ``Local`` holds in a context variable, and since its version 3.12
shows it only to the thread that has set it. Where asgiref moves work to another thread, it lets that thread
see it. So does the bridge, in both directions: the languages and time zones of Django are such values. So is
the executor that leads ``sync_to_async`` to the thread of the request.
"""

from contextvars import copy_context
from threading import get_ident
from typing import Any

import asgiref.local

__all__ = ["carry_locals"]

# What the variable of a Local holds, with the thread that sees it; a dict in older versions.
_Storage: Any = vars(asgiref.local).get("_Storage", ())


def carry_locals() -> None:
    """Let the current thread see what each ``Local`` holds in the current context, whoever set it."""
    thread = get_ident()
    for variable, value in copy_context().items():
        if type(value) is _Storage and value.thread_id != thread:
            variable.set(_Storage(thread, value.data))
