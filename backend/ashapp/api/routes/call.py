# SPDX-License-Identifier: MIT
"""Requests to other services, which the operator has listed: a client can't name one."""

import asyncio
import re
import ssl
import time
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import current_app

from ashapp.api.openapi.operations import Model, Routes
from ashapp.api.trace import trace_of_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

__all__ = ["Called", "Calls", "call", "parse_backends", "routes"]

routes = Routes("Calls", "Requests to other services.")

_NAME = re.compile(r"[0-9A-Za-z_-]+")
_TIMEOUT = 5.0
# Bytes of a body that are read.
_MOST_BYTES = 1024**2


class Called(Model):
    """What a backend has answered: its status and the bytes of its body, or else an error."""

    backend: str
    status: int | None
    size: int | None
    seconds: float
    error: str | None


class Calls(Model):
    """The calls of one request; all of them have its trace."""

    trace_id: str
    calls: list[Called]


@routes.add("/call")
async def call() -> Calls:
    """Ask all configured backends at once, from the loop, as parts of one trace."""
    backends: Mapping[str, str] = current_app.config["BACKENDS"]
    trace = trace_of_request()
    if not backends:
        return Calls(trace_id=trace.trace_id, calls=[])
    import httpx  # noqa: PLC0415 - for those who have it; see ``parse_backends``

    headers = {"traceparent": trace.traceparent()}
    if trace.request_id is not None:
        headers["X-Request-ID"] = trace.request_id
    # No proxies, and no redirects: only what is listed is asked.
    async with httpx.AsyncClient(timeout=_TIMEOUT, headers=headers, trust_env=False, verify=_tls()) as client:
        calls = await asyncio.gather(*(_ask(client, name, url) for name, url in backends.items()))
    return Calls(trace_id=trace.trace_id, calls=calls)


def parse_backends(text: str) -> dict[str, str]:
    """Return the URLs of backends by their names, of a *text* such as ``stock=http://stock:5000/version``.

    Raises:
        ValueError: it has another form, or httpx is missing.
    """
    backends = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = entry.partition("=")
        parts = urlsplit(url)
        if not _NAME.fullmatch(name) or parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(
                f"ASHAPP_API_BACKENDS has {entry!r}: expected NAME=URL, by http or https, separated by commas"
            )
        backends[name] = url
    if backends:
        if find_spec("httpx") is None:
            raise ValueError("ASHAPP_API_BACKENDS needs httpx: pip install 'ashapp-backend[call]'")
        _tls()
    return backends


@cache
def _tls() -> ssl.SSLContext:
    """Return the TLS context: made once, at the start, as it takes some time to read the certificates."""
    import httpx  # noqa: PLC0415 - as above

    return httpx.create_ssl_context(trust_env=False)


async def _ask(client: "httpx.AsyncClient", name: str, url: str) -> Called:
    import httpx  # noqa: PLC0415 - as above

    began = time.monotonic()
    status = size = error = None
    try:
        async with asyncio.timeout(_TIMEOUT), client.stream("GET", url) as response:
            status, size = response.status_code, 0
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > _MOST_BYTES:
                    error = f"the body has more than {_MOST_BYTES} bytes"
                    break
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as failure:
        error = str(failure) or type(failure).__name__
    seconds = round(time.monotonic() - began, 6)
    return Called(backend=name, status=status, size=size, seconds=seconds, error=error)
