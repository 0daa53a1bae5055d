# SPDX-License-Identifier: MIT
"""The state that all calls of one bridge share."""

from collections.abc import Callable

from ashapp.bridge.admission.free_memory import Memory
from ashapp.bridge.admission.in_flight import Admission
from ashapp.bridge.concurrency.task_factory import TaskKeeper
from ashapp.bridge.concurrency.threads.request_thread import RequestThreadPool
from ashapp.bridge.concurrency.threads.thread_pool import ThreadPool
from ashapp.bridge.messages.types import Environ, RequestInfo, WsgiApplication
from ashapp.bridge.options import DEFAULT_TASK_GRACE, DEFAULT_THREADS, BridgeOptions
from ashapp.bridge.request.output_queue import WriteBehind
from ashapp.bridge.request.uploads.intake import DEFAULT_READ_AHEAD, Intake

__all__ = ["Service"]


class Service:
    """The threads and limits for the requests of *application*, by *options*.

    Raises:
        ValueError: there are no threads, or a limit is less than one.
    """

    #: On a thread: whether the coroutines of its request are kept off the server's loop.
    wants_own_loop: Callable[[], bool] = staticmethod(lambda: False)
    #: Whether requests of an endpoint have thread-local values of their own on their thread.
    is_isolated: Callable[[str], bool] = staticmethod(lambda _endpoint: False)
    #: Notes the route of a request that is given up, if it is known.
    note_route: Callable[[RequestInfo, Environ], None] = staticmethod(lambda _info, _environ: None)
    #: Whether the application may take the socket of a WebSocket.
    wants_socket: Callable[[Environ], bool] = staticmethod(lambda _environ: True)
    #: Whether a call on the loop has a request thread only while it has something to do there.
    borrows_threads = False

    def __init__(self, application: WsgiApplication, options: BridgeOptions) -> None:
        threads = options.get("threads", DEFAULT_THREADS)
        self.application = application
        #: The threads that whole calls run on.
        self.pool = ThreadPool(threads)
        #: Counts the requests.
        self.admission = Admission(self.pool, options.get("limit_in_flight"), options.get("limit_queue"))
        #: Decides when requests with a body begin.
        self.intake = Intake(Memory(), max(threads // 2, 1), options.get("read_ahead", DEFAULT_READ_AHEAD))
        self.intake.budget.limit = options.get("limit_buffered")
        #: Counts the bytes of responses that wait for clients.
        self.behind = WriteBehind(self.intake.budget.left)
        #: Knows the context in which the server has been started.
        self.tasks = TaskKeeper()
        #: Seconds after which a request whose response has not begun is answered with 504; None for any time.
        self.request_timeout = options.get("request_timeout")
        #: Seconds for the end of tasks that are cancelled or left running.
        self.grace = options.get("task_grace", DEFAULT_TASK_GRACE)
        #: The threads for the sync callables of calls on the loop.
        self.request_threads = RequestThreadPool(threads)
