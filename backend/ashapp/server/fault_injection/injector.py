# SPDX-License-Identifier: MIT
"""`Injector`: the faults of a worker, and the ASGI layer for faults of requests.

Theory of operation. There is an injector only if faults are switched on. It is inside the observer, so its
delays and answers are logged and counted. Each fault has a thread until it is over. Faults come and go on any
thread, as the loop may be blocked by one. The loop reads a tuple that is replaced as a whole.
"""

import asyncio
import json
import logging
import random
import threading
from collections.abc import Awaitable

from prometheus_client import CollectorRegistry, Counter

from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.exchange import Exchange
from ashapp.bridge.messages.types import AsgiApplication, Receive, Scope, Send
from ashapp.observe.observation import INFO
from ashapp.server.fault_injection.effects import ActiveFault, run
from ashapp.server.fault_injection.fault import KINDS, Error, Latency, OfRequests, Unready
from ashapp.server.proxies.scopes import below

__all__ = ["Injector"]

_log = logging.getLogger("ashapp.server")

# The place of a request that a fault has answered.
_PLACE = "fault"

_chance = random.Random()  # noqa: S311 - no secret


class Injector:
    """Injects the faults of this worker into the ASGI application *app*, and counts them in *registry*.

    It is a monitor of the worker's health, and ``unready`` is a condition of it.
    """

    def __init__(self, app: AsgiApplication, registry: CollectorRegistry) -> None:
        self._app = app
        self._effects = Counter(
            "ashapp_faults",
            "What injected faults have done: requests delayed and answered, other faults begun.",
            ["ashapp_fault"],
            registry=registry,
        )
        self._planted: dict[str, ActiveFault] = {}
        self._of_requests: tuple[OfRequests, ...] = ()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        """Begin to take faults."""
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Let all be over."""
        self.take("[]")
        self._loop = None

    def take(self, orders: str) -> None:
        """Take the faults of *orders* (`FaultBoard.orders`) in place of the present ones. From any thread."""
        if self._loop is None:
            return
        wanted = {
            each["id"]: ActiveFault(each["id"], each["until"], KINDS[each["fault"]["kind"]](**each["fault"]))
            for each in json.loads(orders)
        }
        with self._lock:
            before = self._planted
            fresh = [planted for id_, planted in wanted.items() if id_ not in before]
            self._plant({**wanted, **{id_: before[id_] for id_ in wanted if id_ in before}})
        for id_ in before.keys() - wanted.keys():
            before[id_].lift()
        for planted in fresh:
            thread = threading.Thread(target=self._run, args=(planted, self._loop), daemon=True)
            thread.name = f"ashapp-fault-{planted.id}"
            thread.start()

    def unready(self) -> str | None:
        """Return the fault for which the worker is not ready, or None."""
        found = (each.id for each in [*self._planted.values()] if isinstance(each.fault, Unready))
        return next((f"the injected fault {id_}" for id_ in found), None)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass a scope on, unless a fault delays or answers it."""
        met = self._met(scope)
        return self._afflict(met, scope, receive, send) if met else self._app(scope, receive, send)

    def begin(self, exchange: Exchange) -> Awaitable[None] | None:
        """Begin a request without a task. Return what a task must await, as a fault may want, or None."""
        met = self._met(exchange.scope)
        if met:
            return self._afflict(met, exchange.scope, exchange.receive, exchange.send)
        rest: Awaitable[None] | None = self._app.begin(exchange)  # type: ignore[attr-defined]
        return rest

    def _met(self, scope: Scope) -> list[OfRequests]:
        """Return the faults for a request or a WebSocket."""
        if not self._of_requests or scope["type"] == "lifespan":
            return []
        path = below(scope.get("root_path"), scope["path"])
        return [
            fault for fault in self._of_requests if fault.concerns(path) and _chance.random() < fault.rate
        ]

    async def _afflict(self, met: list[OfRequests], scope: Scope, receive: Receive, send: Send) -> None:
        for fault in met:
            if isinstance(fault, Latency):
                self._effects.labels(fault.kind).inc()
                await asyncio.sleep(fault.seconds + _chance.uniform(0, fault.jitter))
        error = next((fault for fault in met if isinstance(fault, Error)), None)
        if error is None:
            await self._app(scope, receive, send)
            return
        self._effects.labels(error.kind).inc()
        observation = scope[INFO]
        observation.place, observation.route = _PLACE, error.route
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000, "reason": "an injected fault"})
        else:
            await send_problem(send, error.status, "This error is a fault that was asked for.")

    def _run(self, planted: ActiveFault, loop: asyncio.AbstractEventLoop) -> None:
        seconds = planted.seconds_left
        _log.warning("Fault %s begins, as requested: %s, for %.1f s", planted.id, planted.fault, seconds)
        if not isinstance(planted.fault, OfRequests):
            self._effects.labels(planted.fault.kind).inc()
        run(planted, loop)
        with self._lock:
            self._plant({id_: each for id_, each in self._planted.items() if each is not planted})
        _log.warning("Fault %s is over", planted.id)

    def _plant(self, planted: dict[str, ActiveFault]) -> None:
        faults = (each.fault for each in planted.values())
        self._planted = planted
        self._of_requests = tuple(fault for fault in faults if isinstance(fault, OfRequests))
