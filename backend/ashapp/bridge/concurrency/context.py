# SPDX-License-Identifier: MIT
"""The ``contextvars.Context`` of a request.

Theory of operation. A request has a context of its own. It begins with what the server's task has for this
scope: so a view sees what an ASGI middleware around the bridge has set, or a test around its client. What the
request sets is seen by nobody after it.

What the server had already at its startup is not taken over. It belongs to no request, and its values may be
mutable: all requests would share one ``decimal`` context, or the Flask application context in which the
server has been started.

The server's task may also have something of an earlier request. uvicorn starts a pipelined request in the
task of the one before it, whose context it copies (encode/uvicorn#2167), unless it runs with
``--reset-contextvars``. So the task factory gives these tasks the context of the startup.

What the bridge itself keeps in the context is never taken over: a request that is made in the course of
another, in process, has its own.
"""

import decimal
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync

from ashapp.bridge.concurrency.threads.asgiref_locals import carry_locals
from ashapp.bridge.concurrency.threads.executors import RequestThreadExecutor
from ashapp.bridge.concurrency.threads.request_thread import current_request_thread
from ashapp.bridge.concurrency.threads.thread_locals import request_locals

__all__ = [
    "TEMPLATE",
    "adopt_values",
    "as_of_request",
    "body_may_block",
    "in_request",
    "loop_context",
    "new_context",
]

T = TypeVar("T")

#: Whether code runs in the context of a request.
in_request: ContextVar[bool] = ContextVar("ashapp_in_request", default=False)

#: Says whether to read the body of that request may block; None where it has no body.
body_may_block: ContextVar[Callable[[], bool] | None] = ContextVar("ashapp_body_may_block", default=None)

#: What each request has of its own.
TEMPLATE = Context()
TEMPLATE.run(in_request.set, True)  # noqa: FBT003 - the value of the variable
TEMPLATE.run(body_may_block.set, None)
TEMPLATE.run(current_request_thread.set, None)

# What is never taken over. The template does not set ``request_locals``: asgiref would carry that None into a
# coroutine which has begun with values of its own.
_OWN = frozenset({*TEMPLATE, request_locals})

_thread = threading.local()
_UNSET = object()


def new_context(startup: Context, template: Context = TEMPLATE) -> Context:
    """Return a new context for a request: *template*, and what the current one has that *startup* has not."""
    context = template.copy()
    outer = copy_context()
    if outer:
        for variable, value in outer.items():
            is_known = variable in _OWN or variable in template or startup.get(variable, _UNSET) is value
            if not (is_known or isinstance(value, decimal.Context)):
                context.run(variable.set, value)
    return context


def loop_context(startup: Context) -> Context:
    """Return a new context for a request that is served on the loop of this thread; see ``new_context``.

    In there, asgiref's ``sync_to_async`` runs code on the thread of the request.
    """
    template: Context | None = getattr(_thread, "template", None)
    if template is None:
        # Not one for all threads: asgiref's Local shows a value only to the thread that set it.
        template = _thread.template = TEMPLATE.copy()
        template.run(setattr, AsyncToSync.executors, "current", RequestThreadExecutor())
    return new_context(startup, template)


async def as_of_request(func: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any) -> T:
    """Await what *func* returns. Its tasks are those of a request, whose body they may read."""
    in_request.set(True)
    body_may_block.set(lambda: True)
    return await func(*args, **kwargs)


def adopt_values(context: Context) -> None:
    """Set in the current context what has been set in *context*, a copy of it, as asgiref does."""
    current = copy_context()
    for variable, value in context.items():
        if variable not in _OWN and current.get(variable, _UNSET) is not value:
            variable.set(value)
    carry_locals()
