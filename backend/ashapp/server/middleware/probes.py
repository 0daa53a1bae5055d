# SPDX-License-Identifier: MIT
"""Answer health probes on the event loop, before the application and whatever its threads do.

The paths are those of the Kubernetes API server: liveness (``/livez``), readiness (``/readyz``), and
``/healthz``, which is liveness too, as draining is not a failure. Like every path, a probe's is looked up
below the ``root_path`` (ASGI HTTP spec, "Connection Scope").
"""

import json
from http import HTTPStatus

from ashapp.bridge.messages.types import Send
from ashapp.server.health.state import Condition

__all__ = ["answer_probe"]


async def answer_probe(method: str, check: Condition, send: Send) -> None:
    """Answer with 200 ``{"status": "ok"}``, or with 503 and the reason."""
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
