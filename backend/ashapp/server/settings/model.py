# SPDX-License-Identifier: MIT
"""Every setting of the service, typed, with its range and its default: a class for each group of settings.

A setting of uvicorn has uvicorn's name and, where nothing else is said here, uvicorn's default: ``None``
stands for "as uvicorn does it". The title of a group is the title of its section on the help page.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from uvicorn.config import LOOP_FACTORIES

from ashapp.server.settings.connections import Http, Listening, Tls, WebSocket
from ashapp.server.settings.lifecycle import Stopping, Workers, is_developed
from ashapp.server.settings.limits import Limits
from ashapp.server.settings.proxies import BehindProxy
from ashapp.server.settings.sources.addresses import (
    Address,
    InheritedAddress,
    TcpAddress,
    UnixAddress,
    parse_addresses,
)
from ashapp.server.settings.types import (
    ACCESS_FORMAT,
    COMMAND,
    MASK,
    MOUNTED,
    PORT_OR_OFF,
    POSITIVE_SECONDS,
    PROBE_PATH,
    SECONDS,
    TEXT,
    implementation,
)
from ashapp.server.settings.uvicorn_options import CONFIG_PARAMETERS, UVICORN_OPTIONS, kind_of
from ashapp.server.validation.kinds import FILE, FLAG, PATH, SECRET, Secret, choice, duration
from ashapp.server.validation.record import Field, Record, field

__all__ = [
    "REFERENCE_API",
    "Logging",
    "Management",
    "Probing",
    "Process",
    "Reloading",
    "ServerSettings",
    "Service",
    "Settings",
]

REFERENCE_API = "ashapp.api:create_app()"

# Settings that are not passed to uvicorn: they are handled here.
_NOT_UVICORNS = {"app", "forwarded_allow_ips", "timeout_graceful_shutdown"}
_NOT_UVICORNS |= {"limit_max_requests", "limit_max_requests_jitter"}

# Hosts that stand for all interfaces.
_ALL = {"0.0.0.0", "::", ""}  # noqa: S104 - nothing is bound by this


class Service(Record, title="Options"):
    """The application."""

    app: str = field(TEXT, REFERENCE_API)
    """The application to serve."""
    mount: dict[str, str] | None = field(MOUNTED, None)
    """Serve another ASGI or WSGI application below a prefix of the path, as in /mcp=module:name. May be given
    several times; separated by commas in a variable."""
    live_page: bool = field(FLAG, default=True)
    """Serve a live page about the service at / of the reference API, to browsers; without it / is JSON."""
    prestart: str | None = field(COMMAND, None)
    """Command that is run before the application is imported; if it fails, nothing is served, and its exit
    code is that of the service. "auto" is ./prestart.sh, if there is one. [default: off]"""
    environment: Literal["production", "development"] = field(
        choice("production", "development"), "production"
    )
    """In production a weak SECRET_KEY refuses the start; in development it warns."""
    secret_key: Secret | None = field(SECRET, None)
    """SECRET_KEY for a Flask application that has none of its own, or a weak one."""
    config: Path | None = field(FILE, None)
    """TOML file of settings."""
    loop: str | None = field(implementation(LOOP_FACTORIES), None)
    lifespan: Literal["on", "auto", "off"] = field(choice("on", "auto", "off"), "on")
    """Whether startup and shutdown are run."""


class Process(Record, title="Process"):
    """The processes, for the operating system."""

    pidfile: Path | None = field(PATH, None)
    """File that has the id of the main process while it runs."""
    umask: int | None = field(MASK, None)
    """Permissions, in octal, that new files do not get. [default: the umask of the parent process]"""


class Reloading(Record, title="Reloading"):
    """Whether the service follows changes of its files."""

    reload: bool = field(FLAG, default=False)
    """Restart when a file changes. Does not turn debug on."""
    reload_delay: float | None = field(POSITIVE_SECONDS, None)


class Probing(Record, title="Probes"):
    """Which probes are answered, and where."""

    probes: bool = field(FLAG, default=True)
    """Answer the probes below, before the application."""
    livez_path: str = field(PROBE_PATH, "/livez")
    """Path of the liveness probe; "off" leaves it to the application."""
    readyz_path: str = field(PROBE_PATH, "/readyz")
    """Path of the readiness probe; "off" leaves it to the application."""
    healthz_path: str = field(PROBE_PATH, "/healthz")
    """A second path of the liveness probe; "off" leaves it to the application."""

    def _check(self) -> None:
        paths = [path for path in (self.livez_path, self.readyz_path, self.healthz_path) if path]
        if len(paths) != len(set(paths)):
            raise ValueError(f"livez_path, readyz_path and healthz_path must differ, not be {paths}")


class Management(Record, title="Management"):
    """The management port and the control socket, for operators and their machines."""

    management_host: str = field(TEXT, "127.0.0.1")
    """Address of the management port, which must never be public; 0.0.0.0 where scrapers come from other
    machines."""
    management_port: int | Literal["off"] = field(PORT_OR_OFF, 5001)
    """Port of metrics and readiness in detail; 0 takes a free one, "off" leaves it out."""
    control_socket: str = field(TEXT, "auto")
    """Path of a socket by which "ashapp status", "stacks", "reload" and "scale" of the same user ask the
    service; "auto" is one in a folder of this user, "off" leaves it out."""
    readiness_interval: float = field(duration(0, 3600, is_open=True), 5.0)
    """Seconds from one run of the readiness checks to the next."""
    readiness_full_errors: bool = field(FLAG, default=False)
    """Show and log the whole text of a readiness check's exception, with the secrets that it may hold."""
    faults: bool = field(FLAG, default=False)
    """Let clients of the management port inject faults, at /faults: latency, errors, crashes and more."""

    def _check(self) -> None:
        if self.faults and self.management_port == "off":
            raise ValueError(
                "faults are asked for at the management port, which is off: choose a management_port"
            )


class Logging(Record, title="Logging"):
    """The log and its format."""

    log_level: Literal["critical", "error", "warning", "info", "debug", "trace"] = field(
        choice("critical", "error", "warning", "info", "debug", "trace"), "info"
    )
    """Log level."""
    log_format: Literal["auto", "json", "console"] = field(choice("auto", "json", "console"), "auto")
    """One JSON object per line, or lines for a reader; auto takes these at a terminal."""
    log_config: Path | None = field(FILE, None)
    """Logging configuration file (.ini, .json, .yaml) that replaces the log described here."""
    access_log: bool = field(FLAG, default=True)
    """Log each request when it has ended, at level info. Probes are left out."""
    access_log_query: bool = field(FLAG, default=False)
    """Log the query string of each request too, with the secrets it may hold."""
    access_log_format: str | None = field(ACCESS_FORMAT, None)
    """Fields of a JSON line, with commas between them, or a line by gunicorn's atoms such as %(h)s."""
    use_colors: bool | None = field(FLAG, None)
    # A person begins to notice a tenth of a second; half a second is no accident.
    loop_guard: float = field(SECONDS, derive=lambda values: 0.1 if is_developed(values) else 0.5)
    """Log the stack of code that blocks the event loop for longer than this; 0 for never. [default: 0.1 in
    development and with --reload, else 0.5]"""


class Settings(
    Logging,
    WebSocket,
    Tls,
    Http,
    BehindProxy,
    Limits,
    Management,
    Probing,
    Stopping,
    Workers,
    Reloading,
    Process,
    Listening,
    Service,
):
    """The settings that are known by name here; `ServerSettings` adds uvicorn's others.

    The groups are read from the last to the first: some defaults depend on settings that come before.
    `ashapp.server.settings.loading` makes one line of what is wrong with values.
    """

    #: Whether a developer is served, by ``ashapp dev``. It is no setting, so nothing else can ask for it.
    debug: ClassVar[bool] = False

    def _check(self) -> None:
        if self.uds is not None and self.fd is not None:
            raise ValueError(f"uds = {self.uds!r} and fd = {self.fd} exclude each other: give one of them")
        # The kernel would let both be bound before they listen.
        for address in self.addresses:
            if not isinstance(address, TcpAddress) or address.port == 0:
                continue
            hosts = {address.host, self.management_host}
            if address.port == self.management_port and (len(hosts) == 1 or hosts & _ALL):
                name = "port" if self.bind is None else "the port in bind"
                raise ValueError(
                    f"{name} and management_port are both {address.port}: choose another management_port, "
                    "or off"
                )

    @property
    def addresses(self) -> list[Address]:
        """Where connections come in, in the order of ``bind``."""
        if self.bind is not None:
            return parse_addresses(self.bind)
        if self.fd is not None:
            return [InheritedAddress(self.fd)]
        return [TcpAddress(self.host, self.port) if self.uds is None else UnixAddress(self.uds)]

    @property
    def worker_count(self) -> int:
        """Processes that answer requests: reloading is done with one."""
        return 1 if self.reload else self.workers

    def uvicorn_config(self) -> dict[str, Any]:
        """Return the keyword arguments for ``uvicorn.Config``; what is not set keeps uvicorn's default."""
        given = {name: getattr(self, name) for name in self.fields if name in CONFIG_PARAMETERS}
        options = {
            name: value.text if isinstance(value, Secret) else value
            for name, value in given.items()
            if value is not None and name not in _NOT_UVICORNS
        }
        # Ours instead of uvicorn's: see ``ashapp.server.proxies.scopes``.
        return {**options, "proxy_headers": False}


_OTHERS = {
    name: Field(kind_of(option), None)
    for name, option in UVICORN_OPTIONS.items()
    if name not in Settings.fields
}


class ServerSettings(Settings, title="Others of uvicorn", more=_OTHERS):
    """`Settings` with a field for every other option of the installed uvicorn."""
