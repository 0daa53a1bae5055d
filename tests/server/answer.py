# SPDX-License-Identifier: MIT
"""Requests to a WSGI application without a server; ``wsgiref`` sees to it that it keeps to the rules."""

import json
from typing import Any
from wsgiref.types import WSGIApplication
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

__all__ = ["Answer"]


class Answer:
    """What *application* answers to a request; *entries* are for the environ."""

    def __init__(
        self, application: WSGIApplication, target: str, method: str = "GET", **entries: Any
    ) -> None:
        path, _, query = target.partition("?")
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path}
        environ |= {"QUERY_STRING": query, **entries}
        setup_testing_defaults(environ)
        self.status = ""
        self.headers: dict[str, str] = {}
        iterable = validator(application)(environ, self._start)
        self.body = b"".join(iterable)
        iterable.close()  # type: ignore[attr-defined]

    def _start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        self.status, self.headers = status, dict(headers)
        return lambda data: None

    @property
    def code(self) -> int:
        return int(self.status[:3])

    @property
    def content(self) -> Any:
        return json.loads(self.body)
