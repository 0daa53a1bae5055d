# SPDX-License-Identifier: MIT
"""The servers that are compared, by their command lines: one worker, as many threads, no access log."""

import shlex
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks.servers.apps import THREADS

__all__ = ["BASELINE", "PORT", "SERVERS", "Server"]

# The server that the others are compared with.
BASELINE = "gthread"

# Stands for the number of the port, which is known when a server starts.
PORT = "PORT"

_APPS = "tests.benchmarks.servers.apps"
_THREADS = str(THREADS)
_ADDRESS = ("--host", "127.0.0.1", "--port", PORT)
_UVICORN = ("--loop", "uvloop", "--http", "httptools", "--no-access-log")


@dataclass(frozen=True)
class Server:
    """A server: ``arguments`` follow ``python -m``; ``packages`` are what has to be installed."""

    name: str
    title: str
    arguments: tuple[str, ...]
    packages: tuple[str, ...]

    def command(self, port: int) -> list[str]:
        """Return the command that serves on *port* of 127.0.0.1."""
        return [sys.executable, "-m", *(argument.replace(PORT, str(port)) for argument in self.arguments)]

    def command_line(self) -> str:
        """Return the command as one would type it."""
        return shlex.join(["python", "-m", *self.arguments])

    def missing(self) -> list[str]:
        """Return the packages that are not installed."""
        return [package for package in self.packages if not _installed(package)]


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _uvicorn(app: str, *options: str, log_level: str = "error") -> tuple[str, ...]:
    return ("uvicorn", app, *options, *_ADDRESS, *_UVICORN, "--log-level", log_level)


_GRANIAN = ("granian", f"{_APPS}:app", "--interface", "wsgi", *_ADDRESS, "--log-level", "error")
_SERVE_OPTIONS = ("--threads", _THREADS, *_ADDRESS, *_UVICORN, "--log-level", "error")
_GUNICORN = ("gunicorn", f"{_APPS}:app", "--worker-class", "gthread", "--bind", f"127.0.0.1:{PORT}")
_WAITRESS = ("waitress", f"--listen=127.0.0.1:{PORT}", f"--threads={_THREADS}", f"{_APPS}:app")
# The socket would be in the home directory, and its thread beside the worker.
_GUNICORN_OPTIONS = ("--threads", _THREADS, "--log-level", "error", "--no-control-socket")
# Half of the answers are 500; logging the tracebacks is not to be measured as well.
_ASGIREF = _uvicorn(f"{_APPS}:asgiref", "--factory", log_level="critical")
_RESET = "--reset-contextvars"

_ALL = (
    Server("raw", "raw ASGI on uvicorn", _uvicorn("tests.benchmarks.servers.raw:app"), ("uvicorn",)),
    Server("ashapp", "**ashapp** on uvicorn", _uvicorn(f"{_APPS}:ashapp", "--factory"), ("uvicorn",)),
    Server("serve", "**`ashapp serve`**", ("ashapp", "serve", f"{_APPS}:app", *_SERVE_OPTIONS), ("uvicorn",)),
    Server("granian", "granian WSGI", (*_GRANIAN, "--blocking-threads", _THREADS), ("granian",)),
    Server("gthread", "gunicorn gthread", (*_GUNICORN, *_GUNICORN_OPTIONS), ("gunicorn",)),
    Server("waitress", "waitress", _WAITRESS, ("waitress",)),
    Server("a2wsgi", "a2wsgi on uvicorn", _uvicorn(f"{_APPS}:a2wsgi", "--factory"), ("uvicorn", "a2wsgi")),
    Server("asgiref", "asgiref on uvicorn", _ASGIREF, ("uvicorn", "asgiref")),
    Server("asgiref-reset", f"asgiref on uvicorn `{_RESET}`", (*_ASGIREF, _RESET), ("uvicorn", "asgiref")),
)
SERVERS = {server.name: server for server in _ALL}
