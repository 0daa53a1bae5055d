# SPDX-License-Identifier: MIT
"""``/faults`` of the management port: ask for faults, list them, clear them.

Only JSON is accepted: a page of another site in an operator's browser could send a form, but no JSON.
"""

import re
from http import HTTPStatus
from typing import Any

from ashapp.bridge.messages.types import Environ
from ashapp.server.fault_injection.board import FaultBoard, RequestedFault
from ashapp.server.fault_injection.fault import parse
from ashapp.server.management.answers import FAULTS, Page, problem_page
from ashapp.server.worker_status.workers import Workers

__all__ = ["fault_page"]

_JSON = "application/json"
# Bytes.
_LONGEST_BODY = 10_000


def fault_page(workers: Workers, board: FaultBoard, environ: Environ) -> Page:
    """Answer a request for `FAULTS` or for one below: about the faults of *workers*, on the *board*."""
    method, id_ = environ["REQUEST_METHOD"], environ["PATH_INFO"].removeprefix(FAULTS).strip("/")
    if not id_ and method == "POST":
        return _ask(environ, workers, board)
    allowed = "GET, HEAD, DELETE" if id_ else "GET, HEAD, POST, DELETE"
    if method not in allowed.split(", "):
        return problem_page(HTTPStatus.METHOD_NOT_ALLOWED, f"Use one of {allowed}.", ("Allow", allowed))
    is_clearing = method == "DELETE"
    if not id_:
        found = board.clear() if is_clearing else board.wanted()
        return Page(HTTPStatus.OK, {"cleared" if is_clearing else "faults": _told(found)})
    found = board.clear(id_) if is_clearing else [each for each in board.wanted() if each.id == id_]
    if not found:
        known = ", ".join(each.id for each in board.wanted()) or "none"
        return problem_page(
            HTTPStatus.NOT_FOUND, f"There is no fault {id_!r}, or no more. There are: {known}."
        )
    return Page(HTTPStatus.OK, {"cleared": _told(found)} if is_clearing else found[0].told())


def _told(found: list[RequestedFault]) -> list[dict[str, Any]]:
    return [each.told() for each in found]


def _ask(environ: Environ, workers: Workers, board: FaultBoard) -> Page:
    kind, length = environ.get("CONTENT_TYPE", ""), environ.get("CONTENT_LENGTH", "")
    if kind.partition(";")[0].strip().lower() != _JSON:
        return problem_page(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type is {kind!r}: must be {_JSON}.",
            ("Accept", _JSON),
        )
    if not re.fullmatch(r"[0-9]+", length):
        return problem_page(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing, or no number.")
    if len(length) > len(str(_LONGEST_BODY)) or int(length) > _LONGEST_BODY:
        return problem_page(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"Content-Length is {length[:20]}: must be at most {_LONGEST_BODY}.",
        )
    try:
        fault = parse(environ["wsgi.input"].read(int(length)))
        wanted = board.add(fault, [status.pid for status in workers.statuses()])
    except ValueError as error:
        return problem_page(HTTPStatus.UNPROCESSABLE_ENTITY, f"{error}.")
    except (LookupError, OverflowError) as error:
        return problem_page(HTTPStatus.CONFLICT, f"{error.args[0]}.")
    return Page(HTTPStatus.CREATED, wanted.told(), (("Location", f"{FAULTS}/{wanted.id}"),))
