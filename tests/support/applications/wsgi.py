# SPDX-License-Identifier: MIT
"""Small WSGI applications."""

from collections.abc import Callable, Iterable, Iterator

from ashapp.bridge.messages.types import Environ, StartResponse, WsgiApplication

__all__ = ["Headers", "application", "generate"]

Headers = list[tuple[str, str]]


def application(
    body: Callable[[], Iterable[bytes]], status: str = "200 OK", headers: Headers | None = None
) -> WsgiApplication:
    """Return an application that answers with *status*, *headers* and what *body* makes."""

    def call(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, headers or [])
        return body()

    return call


def generate(*chunks: bytes, error: BaseException | None = None) -> Iterator[bytes]:
    """Yield the *chunks*, then raise *error* if there is one."""
    yield from chunks
    if error is not None:
        raise error
