# SPDX-License-Identifier: MIT
"""Server processes for tests: start a command, wait until it listens, stop it by its process id."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

__all__ = ["MANAGED", "SERVE", "ServerProcess", "end", "free_port", "run", "serving"]

SERVE = (sys.executable, "-m", "ashapp", "serve")
#: Variables for a server with a management port, see `ServerProcess.management_url`.
MANAGED = {"ASHAPP_MANAGEMENT_PORT": "0"}

# Variables of the person who runs the tests must not reach the server under test.
_FOREIGN = re.compile(r"ASHAPP_|FLASK_|UVICORN_|(PORT|WEB_CONCURRENCY|FORWARDED_ALLOW_IPS)$")
_ADDRESS = re.compile(r"(https?)://(?:\[([0-9a-f:]+)\]|([\w.-]+)):(\d+)|unix:(\S+)")


class ServerProcess:
    """A running server; ``base_url`` has no slash at its end."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self.process = process
        self.base_url = ""
        self._stdout = stdout
        self._stderr = stderr

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        url = urlsplit(self.base_url)
        assert url.hostname is not None
        assert url.port is not None, "it does not listen on TCP"
        return url.hostname, url.port

    @property
    def management_url(self) -> str:
        """Where its metrics and its readiness are told, if it has a management port."""
        return self.wait_for_log(r"Metrics and readiness on (http://[\w.:]+)")[1]

    @property
    def stdout(self) -> str:
        """What it has written to its standard output so far."""
        return _text(self._stdout)

    @property
    def stderr(self) -> str:
        """What it has written to its standard error so far, the log among it."""
        return _text(self._stderr)

    def stop(self, signum: int = signal.SIGTERM, timeout: float = 45) -> int:
        """Send the signal, wait for the end and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.process.wait(timeout)

    def wait_for_log(self, pattern: str, timeout: float = 45) -> re.Match[str]:
        """Wait until its standard error matches the regular expression; return the match."""
        deadline = time.monotonic() + timeout
        while (match := re.search(pattern, self.stderr)) is None:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {pattern!r} from {self.process.args!r}:\n{self.stderr}")
            time.sleep(0.02)
        return match

    def wait_until_listening(self, timeout: float) -> None:
        """Read the address from the log, set ``base_url`` and wait until a connection is accepted."""
        deadline = time.monotonic() + timeout
        scheme, host6, host, port, path = self.wait_for_log(_ADDRESS.pattern, timeout).groups()
        family = socket.AF_UNIX if path else socket.AF_INET6 if host6 else socket.AF_INET
        address = path or (host6 or host, int(port))
        self.base_url = "http://localhost" if path else f"{scheme}://{f'[{host6}]' if host6 else host}:{port}"
        while True:
            with socket.socket(family) as probe:
                if probe.connect_ex(address) == 0:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.process.args!r} does not listen:\n{self.stderr}")
            time.sleep(0.02)


@contextmanager
def serving(
    args: Sequence[str] = (),
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = SERVE,
    timeout: float = 50,
    listens: bool = True,
    pass_fds: Sequence[int] = (),
) -> Iterator[ServerProcess]:
    """Run ``command`` with ``args`` until the block ends; it listens when the block begins, if *listens*.

    A free port of 127.0.0.1 is taken unless ``args`` say where to listen. ``env`` is added to this
    process's environment, without the variables that a server reads. Other commands will do as long as
    they know ``--host`` and ``--port`` and log their address (as uvicorn does):
    ``serving(["module:app"], command=[sys.executable, "-m", "uvicorn"])``.
    """
    is_told = {"--port", "--uds", "--fd", "--bind"}.intersection(args)
    where = [] if is_told else ["--host", "127.0.0.1", "--port", "0"]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [*command, *args, *where],
            cwd=cwd,
            env=_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            pass_fds=pass_fds,
        )
        server = ServerProcess(process, stdout, stderr)
        try:
            if listens:
                server.wait_until_listening(timeout)
            yield server
        finally:
            end(process)


def run(
    args: Sequence[str] = (),
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = SERVE,
    timeout: float = 50,
) -> subprocess.CompletedProcess[str]:
    """Run a command that is expected to end by itself; return its exit code and output."""
    return subprocess.run(
        [*command, *args],
        cwd=cwd,
        env=_environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
    # Servers of tests that run at once would all want the default management port, and none has a load
    # balancer that must be told of its end.
    ours = {"PYTHONUNBUFFERED": "1", "ASHAPP_MANAGEMENT_PORT": "off", "ASHAPP_DRAIN_DELAY": "0"}
    return {**kept, **ours, **(added or {})}


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started in a session of its own, unless it has ended; at worst, the session."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            # Its workers too: they are in the session that was started for it.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _text(file: IO[bytes]) -> str:
    # Not file.read(): the position is shared with the process that writes.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")
