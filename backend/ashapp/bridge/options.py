# SPDX-License-Identifier: MIT
"""The options of a bridge: its keywords, and those that have been renamed."""

import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ParamSpec, TypedDict

from ashapp.bridge.messages.types import AsgiApplication

__all__ = [
    "DEFAULT_TASK_GRACE",
    "DEFAULT_THREADS",
    "BridgeOptions",
    "LifespanCallable",
    "LifespanManager",
    "accept_old_names",
    "refuse_unknown",
]

P = ParamSpec("P")

LifespanCallable = Callable[[], object]
LifespanManager = Callable[[Any], AbstractAsyncContextManager[Any]]

DEFAULT_THREADS = 40
#: Seconds at shutdown for requests, and for tasks that they left running.
DEFAULT_TASK_GRACE = 5.0

# Keywords by their old names.
_RENAMED = {
    "max_in_flight": "limit_in_flight",
    "max_queued": "limit_queue",
    "max_body": "limit_body",
    "max_buffered": "limit_buffered",
}


class BridgeOptions(TypedDict, total=False):
    """The keywords of ``WsgiToAsgi``, which ``FlaskToAsgi`` takes as well. None stands for no limit."""

    #: How many threads run requests. Each request takes one; further requests wait in order of arrival. The
    #: default is 40.
    threads: int
    #: Whether other processes serve the same application, as ``wsgi.multiprocess`` says. By default, whether
    #: this process is a child that ``multiprocessing`` started, as uvicorn's workers are, or a worker of
    #: ``ashapp serve``.
    multiprocess: bool | None
    #: Seconds after which a request whose response has not begun is answered with 504.
    request_timeout: float | None
    #: How many requests there may be at once; one more is answered with 503 (see ``Admission``).
    limit_in_flight: int | None
    #: How many requests may wait for a thread; one more is answered with 503.
    limit_queue: int | None
    #: How many WebSockets there may be at once, none of which is a request in flight; one more is denied.
    limit_websockets: int | None
    #: How many WebSockets may hold a thread. All do but those with an ``async def`` handler of ``websocket``.
    #: One more is denied with 503. The default is 1000, or 1 where *threads* is 1.
    websocket_threads: int | None
    #: The greatest length in bytes of a request body; a longer one is answered with 413.
    limit_body: int | None
    #: How many bytes of bodies all requests together may be given at once. By default that depends on the
    #: memory that is left (see ``Budget``).
    limit_buffered: int | None
    #: How many bytes of a body are read before its request takes a thread (see ``Intake``). The default is
    #: 1 MiB.
    read_ahead: int
    #: Callables without arguments, sync or async, that run when the server starts (see ``Lifespan``).
    on_startup: Iterable[LifespanCallable]
    #: The same for when the server stops.
    on_shutdown: Iterable[LifespanCallable]
    #: Makes an async context manager of the application, which is open in between.
    lifespan: LifespanManager | None
    #: Other ASGI applications by the prefixes of their paths, such as ``{"/mcp": app}`` (see ``Mounts``).
    mounts: Mapping[str, AsgiApplication] | None
    #: Seconds at shutdown for requests that the server has not waited for, and for tasks that the application
    #: left running. After that the tasks are cancelled. The default is 5.
    task_grace: float


def refuse_unknown(options: Mapping[str, object]) -> None:
    """Raise ``TypeError`` if *options* has one that is none of ``BridgeOptions``, as Python itself would."""
    for name in options:
        if name not in BridgeOptions.__annotations__:
            known = ", ".join(BridgeOptions.__annotations__)
            raise TypeError(f"got an unexpected keyword argument {name!r}: expected one of {known}")


def accept_old_names(init: Callable[P, None]) -> Callable[P, None]:
    """Return *init*, the ``__init__`` of a bridge, with each old keyword passed on by its new name."""

    @functools.wraps(init)
    def with_old_names(*args: Any, **options: Any) -> None:
        for old in _RENAMED.keys() & options.keys():
            new = _RENAMED[old]
            if new in options:
                raise TypeError(f"{old} is the old name of {new}: give {new} alone")
            warnings.warn(f"{old} is called {new} now", DeprecationWarning, stacklevel=2)
            options[new] = options.pop(old)
        init(*args, **options)

    return with_old_names
