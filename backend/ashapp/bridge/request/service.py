# SPDX-License-Identifier: MIT
"""What the calls of one bridge share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from ashapp.bridge.admission.in_flight import Admission
    from ashapp.bridge.concurrency.task_factory import TaskKeeper
    from ashapp.bridge.concurrency.threads.request_thread import RequestThreadPool
    from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
    from ashapp.bridge.messages.types import Environ, RequestInfo, WsgiApplication
    from ashapp.bridge.request.output_queue import WriteBehind
    from ashapp.bridge.request.uploads.intake import Intake

__all__ = ["Service"]


@dataclass(eq=False)
class Service:
    """What runs *application*, and how long its requests may take."""

    application: WsgiApplication
    #: The threads that whole calls run on, and the bytes of their responses that wait for clients.
    pool: ThreadPool
    behind: WriteBehind
    #: Knows the context in which the server has been started.
    tasks: TaskKeeper
    #: Seconds after which a request is answered with 504 if its response has not begun; None for any time.
    request_timeout: float | None
    #: Seconds that what is cancelled, or left running, has to end.
    grace: float
    #: The threads for the sync callables of calls on the loop.
    request_threads: RequestThreadPool
    #: Counts the requests.
    admission: Admission
    #: Where their bodies wait.
    intake: Intake
    #: Whether a call has one of these only while it has something to do there.
    borrows_threads: bool = False
    #: On a thread: whether the coroutines of its request are kept off the server's loop. None for never.
    wants_own_loop: Callable[[], bool] | None = None
    #: Whether requests of an endpoint have thread-local values of their own on their thread. None for never.
    is_isolated: Callable[[str], bool] | None = None
    #: Notes the route of a request that is given up, if it is known. None where there are no routes.
    note_route: Callable[[RequestInfo, Environ], None] | None = None
    #: Whether the application may take the socket of a WebSocket. None for always.
    wants_socket: Callable[[Environ], bool] | None = None
