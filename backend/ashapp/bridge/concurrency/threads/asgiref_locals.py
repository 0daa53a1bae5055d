# SPDX-License-Identifier: MIT
"""``asgiref.local.Local`` objects on the way from one thread to another.

Theory of operation. asgiref keeps the values of a ``Local`` in a context variable, and since version 3.12
shows them only to the thread that has set them. When asgiref moves work to another thread, it lets that
thread see them. So does the bridge, in both directions. Languages and time zones of Django are such values;
so is the executor that leads ``sync_to_async`` to the thread of the request.
"""

from contextvars import copy_context
from threading import get_ident
from typing import Any

import asgiref.local

__all__ = ["carry_locals"]

# The value of a Local's variable, with the thread that sees it; in older versions it is a dict.
_Storage: Any = vars(asgiref.local).get("_Storage", ())


def carry_locals() -> None:
    """Let the current thread see the values of each ``Local`` in the current context."""
    thread = get_ident()
    for variable, value in copy_context().items():
        if type(value) is _Storage and value.thread_id != thread:
            variable.set(_Storage(thread, value.data))
