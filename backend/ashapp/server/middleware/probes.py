# SPDX-License-Identifier: MIT
"""Answer health probes on the event loop, before the application and whatever its threads do.

The paths are those of the Kubernetes API server: liveness (``/livez``), readiness (``/readyz``), and
``/healthz``, which is liveness too, as draining is not a failure. Like every path, a probe's is looked up
below the ``root_path`` (ASGI HTTP spec, "Connection Scope").
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

from ashapp.bridge.messages.types import AsgiApplication, Message, Receive, Scope, Send
from ashapp.server.health.state import Health, Phase

__all__ = ["Probes", "below"]

_Check = Callable[[], str | None]


class Probes:
    """An ASGI application in front of another one, whose lifespan it follows to know when it is ready.

    ``checks`` maps a path to a function that returns a reason to fail, or ``None``.
    A probe is answered with 200 ``{"status": "ok"}``, or with 503 and the reason.
    """

    def __init__(self, app: AsgiApplication, health: Health, checks: Mapping[str, _Check]) -> None:
        self.app = app
        self.health = health
        self._checks = dict(checks)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a probe, or pass everything else on.

        What is passed on costs no coroutine of ours: the application's own is returned.
        """
        if scope["type"] == "http":
            check = self._checks.get(below(scope.get("root_path", ""), scope["path"]))
            if check is not None:
                return _answer(scope["method"], check, send)
        elif scope["type"] == "lifespan":
            return self._follow_lifespan(scope, receive, send)
        return self.app(scope, receive, send)

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

        await self.app(scope, receive_and_note, send_and_note)


def below(root: str, path: str) -> str:
    """Return the part of *path* below the *root* path, or all of it where it is not below."""
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


async def _answer(method: str, check: _Check, send: Send) -> None:
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
