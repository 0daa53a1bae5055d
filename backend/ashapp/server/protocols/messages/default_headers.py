# SPDX-License-Identifier: MIT
"""The header fields that a server adds to each response, such as Date."""

from collections.abc import Iterable

from uvicorn.server import ServerState

__all__ = ["DefaultHeaders", "respect_own_fields"]

_Field = tuple[bytes, bytes]

# Of those that a response may have, the ones that are no lists: it has each once (RFC 9110, 5.3).
_SINGLE = frozenset(
    {
        b"age",
        b"content-length",
        b"content-type",
        b"date",
        b"etag",
        b"expires",
        b"last-modified",
        b"location",
        b"retry-after",
        b"server",
    }
)


class DefaultHeaders(list[_Field]):
    """A list to which uvicorn adds the fields of the application; of what it has itself, its own count."""

    def __init__(self, fields: Iterable[_Field] = ()) -> None:
        super().__init__(fields)
        self._single = _SINGLE.intersection(name for name, _ in self)

    def __add__(self, own: list[_Field]) -> list[_Field]:  # type: ignore[override]
        """Return both, but for what would be there twice."""
        single = self._single
        for name, _ in own:
            if name in single:
                twice = single.intersection(name for name, _ in own)
                return [*(field for field in self if field[0] not in twice), *own]
        return [*self, *own]


def respect_own_fields(server_state: ServerState) -> None:
    """Let the responses that begin from now on have no field twice; uvicorn makes a new list each second."""
    if not isinstance(server_state.default_headers, DefaultHeaders):
        server_state.default_headers = DefaultHeaders(server_state.default_headers)
