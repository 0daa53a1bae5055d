# SPDX-License-Identifier: MIT
"""A container engine, by its command line: build images, run containers, look at both."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

__all__ = ["HARDENED", "Container", "EngineError", "built", "docker", "inspect", "running", "shell", "until"]

#: As the manifests run it, without swap, and with a bound for processes and threads.
HARDENED = (
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--memory=352m",
    "--memory-swap=352m",
    "--pids-limit=128",
)

_PATIENCE = 60.0


class EngineError(Exception):
    """The engine refused something, or there is none; the text is its own."""


def docker(*arguments: str, timeout: float = 60) -> str:
    """Run a command of the engine and return its output. Raises `EngineError` where it fails."""
    # The engine's own builder, which knows its images; another one may be set up for releases.
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default"}
    try:
        done = subprocess.run(
            ["docker", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise EngineError("there is no command 'docker'") from None
    if done.returncode:
        raise EngineError(f"docker {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@contextmanager
def built(context: Path, *options: str) -> Iterator[str]:
    """Build the image of a folder with a Dockerfile; yield a name for it that lasts until the block ends."""
    tag = f"ashapp-backend:smoke-{uuid4().hex[:12]}"
    docker("build", "--quiet", "--tag", tag, *options, str(context), timeout=600)
    try:
        yield tag
    finally:
        docker("image", "rm", "--force", tag)


def inspect(kind: str, name: str) -> dict[str, Any]:
    """Return what the engine knows of an image or a container."""
    [found] = json.loads(docker(kind, "inspect", name))
    return dict(found)


def shell(image: str, script: str) -> str:
    """Run a script in a container of the image, which may write what its user may; return its output."""
    return docker("run", "--rm", "--entrypoint=sh", image, "-c", script)


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until *condition* holds; *what* says what was waited for."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.1)


@dataclass(frozen=True)
class Container:
    """A container that was started here."""

    name: str

    @property
    def state(self) -> dict[str, Any]:
        return dict(inspect("container", self.name)["State"])

    @property
    def restarts(self) -> int:
        """How often the engine has started it again."""
        return int(inspect("container", self.name)["RestartCount"])

    @property
    def log(self) -> str:
        """What it has written, to either output."""
        return subprocess.run(
            ["docker", "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=True,
        ).stdout

    def url(self, port: int = 5000) -> str:
        """Return where a port of it is published now, without a slash at the end."""
        [binding] = inspect("container", self.name)["NetworkSettings"]["Ports"][f"{port}/tcp"]
        return f"http://127.0.0.1:{binding['HostPort']}"

    def run(self, *command: str) -> str:
        """Run a command in it, and return its output."""
        return docker("exec", self.name, *command)

    def tell(self, signal: str) -> None:
        """Send a signal to its first process."""
        docker("kill", "--signal", signal, self.name)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return int(docker("wait", self.name))

    def wait_until_serving(self) -> None:
        """Wait until it answers; tell its log if it does not."""
        try:
            until(self._serves, "the container serves")
        except (AssertionError, EngineError) as error:
            raise AssertionError(f"{error}\n{self.state}\n{self.log}") from None

    def _serves(self) -> bool:
        if self.state["Status"] == "exited":
            raise EngineError("the container has ended")
        try:
            return httpx.get(f"{self.url()}/livez", trust_env=False, timeout=5).status_code == 200
        except (httpx.TransportError, KeyError, ValueError):  # not yet, or between two starts
            return False


@contextmanager
def running(
    image: str, *options: str, command: Sequence[str] = (), serves: bool = True
) -> Iterator[Container]:
    """Run an image, hardened, until the block ends; it answers when the block begins, if it *serves*."""
    publish = ("--publish=127.0.0.1::5000", "--publish=127.0.0.1::5001")
    name = docker("create", *HARDENED, *publish, *options, image, *command).strip()
    try:
        docker("start", name)
        container = Container(name)
        if serves:
            container.wait_until_serving()
        yield container
    finally:
        docker("rm", "--force", "--volumes", name)
