# SPDX-License-Identifier: MIT
"""The servers that are compared, by their command lines: one worker, and 16 threads unless they say more."""

import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.benchmarks.servers.apps import THREADS

__all__ = ["BASELINE", "IN_PROCESS", "PORT", "SERVERS", "Server"]

#: The server that the others are compared with, if no other is named.
BASELINE = "granian"

#: No server: Flask is called by the benchmark itself.
IN_PROCESS = "flask"

#: Stands for the number of the port, which is known when a server starts.
PORT = "PORT"

# Stands for the virtual environment.
_VENV = "VENV"
_KNOWN = rf"\b({PORT}|{_VENV})\b"

_APPS = "tests.benchmarks.servers.apps"
_THREADS = str(THREADS)
_ADDRESS = ("--host", "127.0.0.1", "--port", PORT)
_UVICORN = ("--loop", "uvloop", "--http", "httptools")
_QUIET = ("--no-access-log", "--log-level", "error")


@dataclass(frozen=True)
class Server:
    """A server: ``arguments`` follow ``python -m``; ``packages`` are what has to be installed.

    Where there is a ``program``, they follow that. It answers all workloads, or those in ``answers``.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    packages: tuple[str, ...]
    program: str = ""
    answers: tuple[str, ...] = ()

    def command(self, port: int) -> list[str]:
        """Return the command that serves on *port* of 127.0.0.1."""
        begin = [shutil.which(self.program, path=_SCRIPTS) or self.program] if self.program else _PYTHON
        known = {PORT: str(port), _VENV: sys.prefix}
        return [*begin, *(re.sub(_KNOWN, lambda name: known[name[0]], part) for part in self.arguments)]

    def command_line(self) -> str:
        """Return the command as one would type it."""
        return shlex.join([*([self.program] if self.program else ["python", "-m"]), *self.arguments])

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in self.packages if not _installed(package)]


_PYTHON = [sys.executable, "-m"]
_SCRIPTS = str(Path(sys.executable).parent)


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _uvicorn(app: str, *options: str) -> tuple[str, ...]:
    return ("uvicorn", app, *(options or _QUIET), *_ADDRESS, *_UVICORN)


_SERVE = ("ashapp", "serve", f"{_APPS}:app", *_ADDRESS)
_SERVE_BARE = (*_SERVE, "--threads", _THREADS, *_QUIET, "--management-port", "off")
_GRANIAN = ("granian", f"{_APPS}:app", "--interface", "wsgi", *_ADDRESS, "--blocking-threads", _THREADS)
_GRANIAN_LOG = (*_GRANIAN, "--access-log", "--metrics", "--metrics-port", "0")
# The socket would be in the home directory, and its thread beside the worker.
_GUNICORN_OPTIONS = ("--threads", _THREADS, "--log-level", "error", "--no-control-socket")
_GUNICORN = ("gunicorn", f"{_APPS}:app", "--worker-class", "gthread", "--bind", f"127.0.0.1:{PORT}")
_UWSGI = ("--http-socket", f"127.0.0.1:{PORT}", "--module", f"{_APPS}:app", "--threads", _THREADS)
_UWSGI_OPTIONS = ("--virtualenv", _VENV, "--http-keepalive", "--disable-logging", "--die-on-term")
_WAITRESS = ("waitress", f"--listen=127.0.0.1:{PORT}", f"--threads={_THREADS}", f"{_APPS}:app")
_FASTAPI = "tests.benchmarks.servers.fast_api:app"
# Half of the answers are 500; logging the tracebacks is not to be measured as well.
_ASGIREF = _uvicorn(f"{_APPS}:asgiref", "--factory", "--no-access-log", "--log-level", "critical")

_ALL = (
    Server("raw", "raw ASGI on uvicorn", _uvicorn("tests.benchmarks.servers.raw:app"), ("uvicorn",)),
    Server(IN_PROCESS, "Flask in-process, no server", (), ()),
    Server("granian", "granian WSGI", (*_GRANIAN, "--log-level", "error"), ("granian",)),
    Server("granian-log", "granian WSGI, access log and metrics", _GRANIAN_LOG, ("granian",)),
    Server("fastwsgi", "FastWSGI", ("tests.benchmarks.servers.fast_wsgi", PORT), ("fastwsgi", "setuptools")),
    Server("uwsgi", "uWSGI", (*_UWSGI, *_UWSGI_OPTIONS), ("uwsgi",), program="uwsgi"),
    Server(
        "ashapp", "**ashapp** on uvicorn", _uvicorn(f"{_APPS}:ashapp", "--factory", *_QUIET), ("uvicorn",)
    ),
    Server("serve-bare", "**`ashapp serve`**, no log, no management port", _SERVE_BARE, ("uvicorn",)),
    Server("serve", "**`ashapp serve`**, defaults: access log, metrics", _SERVE, ("uvicorn",)),
    Server("waitress", "waitress", _WAITRESS, ("waitress",)),
    Server("gthread", "gunicorn gthread", (*_GUNICORN, *_GUNICORN_OPTIONS), ("gunicorn",)),
    Server(
        "a2wsgi",
        "a2wsgi on uvicorn",
        _uvicorn(f"{_APPS}:a2wsgi", "--factory", *_QUIET),
        ("uvicorn", "a2wsgi"),
    ),
    Server("asgiref", "asgiref on uvicorn", _ASGIREF, ("uvicorn", "asgiref")),
    Server("fastapi", "FastAPI on uvicorn", _uvicorn(_FASTAPI), ("uvicorn", "fastapi"), answers=("async",)),
    Server(
        "fastapi-log",
        "FastAPI on uvicorn, access log",
        _uvicorn(_FASTAPI, "--access-log"),
        ("uvicorn", "fastapi"),
        answers=("async",),
    ),
)
SERVERS = {server.name: server for server in _ALL}
