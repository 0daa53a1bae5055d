# SPDX-License-Identifier: MIT
"""The commands ``status``, ``stacks``, ``reload`` and ``scale``: they ask a service at its control socket."""

import http.client
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ashapp.server.cli.check import ServiceConnection
from ashapp.server.cli.options import ServeCommand
from ashapp.server.errors import StartupError
from ashapp.server.management.control_folder import control_folder, live_sockets

__all__ = ["reload", "scale", "stacks", "status"]

# Seconds that an answer may take; that about stacks waits for all workers.
_PATIENCE = 10.0

_socket = click.option(
    "--socket",
    "path",
    envvar="ASHAPP_CONTROL_SOCKET",
    metavar="PATH",
    help="The control socket of the service, where this user has several.",
)


@click.command(cls=ServeCommand, epilog="")
@_socket
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(path: str | None, *, as_json: bool) -> None:
    """Tell how a service of this user is: its workers, what they do, and why one is not ready."""
    answer = _ask(path, "GET", "/status")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(f"Process {answer['pid']}, up for {answer['uptime']:.0f} s")
    for worker in answer["workers"]:
        click.echo(_line(worker))


@click.command(cls=ServeCommand, epilog="")
@_socket
def stacks(path: str | None) -> None:
    """Print what each thread of a service runs now: of one that is stuck, too."""
    for pid, text in _ask(path, "GET", "/stacks")["stacks"].items():
        click.echo(f"Process {pid}\n{text}\n")


@click.command(cls=ServeCommand, epilog="")
@_socket
def reload(path: str | None) -> None:
    """Replace all workers of a service, as SIGHUP does: nothing is lost."""
    answer = _ask(path, "POST", "/reload")
    click.echo(f"Workers that are being replaced: {answer['reloading']}")


@click.command(cls=ServeCommand, epilog="")
@click.argument("workers")
@_socket
def scale(workers: str, path: str | None) -> None:
    """Have another number of WORKERS, until the service ends."""
    answer = _ask(path, "POST", f"/scale?workers={quote(workers)}")
    click.echo(f"Workers: {answer['workers']}, after {answer['before']}")


def _line(worker: dict[str, Any]) -> str:
    if "ready" not in worker:
        return f"Worker {worker['pid']}: nothing is known of it, as the management port is off"
    state = "ready" if worker["ready"] else f"not ready: {worker['reason']}"
    return (
        f"Worker {worker['pid']}: {state}; requests {worker['active_requests']}, of which "
        f"{worker['queued_requests']} wait for a thread; threads {worker['busy_threads']} of "
        f"{worker['threads']}; WebSockets {worker['websockets']}"
        f"; Socket.IO polls {worker['socketio_polls']}"
    )


def _ask(path: str | None, method: str, target: str) -> dict[str, Any]:
    """Return what the service answers.

    Raises:
        StartupError: there is none, or several, or it refuses.
    """
    found = _found(path)
    connection = ServiceConnection(str(found), timeout=_PATIENCE)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        content: dict[str, Any] = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StartupError(f"the service at {found} does not answer: {error}") from error
    finally:
        connection.close()
    if "detail" in content:
        raise StartupError(str(content["detail"]))
    return content


def _found(path: str | None) -> Path:
    if path is not None and path not in {"auto", "off"}:
        return Path(path)
    try:
        paths = list(live_sockets())
    except OSError as error:
        raise StartupError(f"{error}: name a control socket with --socket") from None
    if not paths:
        raise StartupError(
            f"no service of this user answers below {control_folder()}: name one with --socket"
        )
    if len(paths) > 1:
        raise StartupError(
            f"this user has several services, name one with --socket: {', '.join(map(_told, paths))}"
        )
    return paths[0]


def _told(path: Path) -> str:
    """Return *path*, with the command line of the process that it is named after, where that is told."""
    try:
        words = Path(f"/proc/{path.stem}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return str(path)
    return f"{path} ({b' '.join(words).decode(errors='replace').strip()})"
