# SPDX-License-Identifier: MIT
"""`Front`: what every connection scope passes before the application.

Theory of operation. A plain request only needs to be observed. So these questions are asked here, in this
order, before any layer is wrapped around it:

1. a probe is answered, neither logged nor counted, whatever else is in the request;
2. forwarded headers of a trusted proxy change the scope, and those of any other peer are removed from it;
3. the host that is then named must be one that the service answers for.

The observer comes next, also for a request that is refused.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus

from ashapp.bridge.messages.errors import send_problem
from ashapp.bridge.messages.exchange import Exchange
from ashapp.bridge.messages.types import AsgiApplication, Message, Receive, Scope, Send
from ashapp.observe.observation import ManySink, Sink
from ashapp.observe.observer import Observer
from ashapp.server.health.state import Condition, Health, Phase
from ashapp.server.middleware.allowed_hosts import AllowedHosts
from ashapp.server.proxies.scopes import Proxies, below

__all__ = ["Front", "answer_probe"]

# At once: another instance may be there already (RFC 9110, 10.2.3).
_RETRY = ((b"retry-after", b"1"),)


class Front:
    """An ASGI application in front of *app*. It knows by the lifespan of *app* when that is ready.

    *checks* maps the path of a probe to a function that returns a reason to fail, or None. *proxies* is None
    if forwarded headers are ignored, *hosts* is None if all hosts are served. *sinks* get each request and
    each WebSocket.
    """

    def __init__(  # noqa: PLR0913 - what is optional by keyword
        self,
        app: AsgiApplication,
        health: Health,
        checks: Mapping[str, Condition],
        *,
        proxies: Proxies | None = None,
        hosts: AllowedHosts | None = None,
        sinks: Iterable[Sink | ManySink] = (),
    ) -> None:
        self.health = health
        self._app = app
        self._checks = dict(checks)
        self._consider = None if proxies is None else proxies.consider
        self._allows: Callable[[Scope], bool] | None = None if hosts is None else hosts.allow
        sinks = tuple(sinks)
        self._serve = Observer(app, sinks, answer_cancelled=self._answer_cancelled)
        #: For a request that has begun without a task, and needs one; see ``Observer``.
        self.complete = self._serve.complete
        self._refuse = Observer(_refuse, sinks)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Pass *scope* on to the application, or answer it.

        It returns the coroutine of the application, and adds none.
        """
        if scope["type"] == "lifespan":
            return self._follow_lifespan(scope, receive, send)
        return self._answer(scope, receive, send) or self._serve(scope, receive, send)

    def begin(self, exchange: Exchange) -> Awaitable[None] | None:
        """Begin a request without a task. Return what a task must await, or None."""
        return self._answer(exchange.scope, exchange.receive, exchange.send) or self._serve.begin(exchange)

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None] | None:
        """Answer scopes that are not for the application."""
        if scope["type"] == "http":
            root, path = scope.get("root_path"), scope["path"]
            check = self._checks.get(below(root, path) if root else path)
            if check is not None:
                return answer_probe(scope["method"], check, send)
        if self._consider is not None:
            self._consider(scope)
        if self._allows is not None and not self._allows(scope):
            return self._refuse(scope, receive, send)
        return None

    def _answer_cancelled(self) -> Callable[[Send], Awaitable[None]] | None:
        return _answer_at_end if self.health.phase is Phase.STOPPING else None

    async def _follow_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def receive_and_note() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.health.phase = Phase.STOPPING
            return message

        async def send_and_note(message: Message) -> None:
            # A signal may have come meanwhile.
            if message["type"] == "lifespan.startup.complete" and self.health.phase is Phase.STARTING:
                self.health.phase = Phase.RUNNING
            await send(message)

        await self._app(scope, receive_and_note, send_and_note)


async def answer_probe(method: str, check: Condition, send: Send) -> None:
    """Answer a probe with 200 ``{"status": "ok"}``, or with 503 and the reason.

    The paths are those of the Kubernetes API server: liveness (``/livez``), readiness (``/readyz``), and
    ``/healthz``, which is liveness too, as draining is not a failure. Like every path, a probe's is looked up
    below the ``root_path`` (ASGI HTTP spec, "Connection Scope").
    """
    reason = check()
    status, content, headers = HTTPStatus.OK, {"status": "ok"}, []
    if method not in {"GET", "HEAD"}:
        status, content = HTTPStatus.METHOD_NOT_ALLOWED, {"status": "method not allowed"}
        headers = [(b"allow", b"GET, HEAD")]
    elif reason is not None:
        status, content = HTTPStatus.SERVICE_UNAVAILABLE, {"status": "unavailable", "reason": reason}
    body = json.dumps(content, separators=(",", ":")).encode()
    headers += [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with 400. RFC 9110, 7.4 has 421, but that invites clients to try again."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000, "reason": "not served for this host"})
    else:
        await send_problem(send, 400, "This service does not answer for the host that the request names.")


async def _answer_at_end(send: Send) -> None:
    await send_problem(send, 503, "The service ends, and the request has taken too long. Try again.", _RETRY)
