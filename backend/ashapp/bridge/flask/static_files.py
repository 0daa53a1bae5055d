# SPDX-License-Identifier: MIT
"""Sends the files of a static folder without holding a thread.

Theory of operation. Flask's own dispatch and view make the response, so its status, headers and bytes are
those of ``send_from_directory``: conditions, ranges, HEAD and errors too. The dispatch runs on the loop. Code
that touches the file system runs on a thread that is lent for just that: the view, which also reads a small
file to its end, and the reads of each block of a large file. While the client takes a block, no thread waits.

Beside a file there may be one with ``.zst`` or ``.gz`` appended to its name. Clients that accept that coding
(RFC 9110, 12.5.3) get it instead, unless it is older. It has an ETag of its own, and ``Vary`` tells caches of
it.
"""

import mimetypes
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import flask
from flask.app import Flask
from flask.blueprints import Blueprint
from werkzeug.security import safe_join

__all__ = ["BLOCK_SIZE", "WHOLE_SIZE", "serve_static"]

#: A file of up to this many bytes is read at once.
WHOLE_SIZE = 65536

#: How many bytes of a larger file are read at a time.
BLOCK_SIZE = 262144

# Content codings by the suffixes of encoded files, the preferred one first.
_CODINGS = {".zst": "zstd", ".gz": "gzip"}


def serve_static(folder: Flask | Blueprint, view: Callable[..., Any], **arguments: Any) -> Any:
    """Return the response of *view*, which serves *folder*, to the current request. On a thread.

    Raises:
        HTTPException: there is no such file, or not the range that is asked for.
    """
    filename = arguments.get("filename")
    encoded = list(_encoded(folder, filename)) if filename is not None and folder.static_folder else []
    best = _best(encoded)
    if best is None:
        response = view(**arguments)
    else:
        response = flask.send_from_directory(
            folder.static_folder or "",
            f"{filename}{best}",
            mimetype=mimetypes.guess_type(str(filename))[0] or "application/octet-stream",
            download_name=Path(str(filename)).name,
            max_age=folder.get_send_file_max_age(filename),
        )
        response.content_encoding = _CODINGS[best]
    if encoded:
        response.vary.add("Accept-Encoding")
    _read(response)
    return response


def _encoded(folder: Flask | Blueprint, filename: str) -> Iterator[str]:
    """Yield the suffixes of the encoded files of *filename* that are not older."""
    if mimetypes.guess_type(filename)[1] is not None:  # it is one itself
        return
    path = safe_join(folder.static_folder or "", filename)
    changed = None if path is None else _changed(path)
    if changed is None:
        return
    for suffix in _CODINGS:
        beside = _changed(f"{path}{suffix}")
        if beside is not None and beside >= changed:
            yield suffix


def _changed(path: str) -> float | None:
    """Return when the file *path* was changed, by the clock of the file system; None if it is no file."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime if stat.S_ISREG(status.st_mode) else None


def _best(suffixes: list[str]) -> str | None:
    """Return the one of *suffixes* whose coding the client likes best, or None for the file as it is."""
    accepted = flask.request.accept_encodings
    quality = {suffix: accepted.quality(_CODINGS[suffix]) for suffix in suffixes}
    best = max(suffixes, key=lambda suffix: quality[suffix], default=None)
    if best is None or quality[best] <= 0:
        return None
    plain = accepted.quality("identity") if "identity" in accepted.values() else 0
    return best if quality[best] >= plain else None


def _read(response: flask.Response) -> None:
    """Read the file of *response* where that is small, or not sent at all, and close it."""
    body: Any = response.response
    length = response.content_length
    if isinstance(body, list | tuple):
        return  # as where a proxy sends the file
    if flask.request.method == "HEAD" or response.status_code == 304:
        response.response = []
    elif length is not None and length <= WHOLE_SIZE:
        response.response = [b"".join(body)]
    else:
        if isinstance(body, FileWrapper):
            body.blksize = BLOCK_SIZE  # each block takes a thread, for a moment
        return
    body.close()
