# SPDX-License-Identifier: MIT
"""Every setting of the service, typed, with its range and its default: a class for each group of them.

A setting of uvicorn has uvicorn's name and, where nothing else is said here, uvicorn's default: ``None``
stands for "as uvicorn does it". The title of a group is that of its section on the help page.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    create_model,
    model_validator,
)
from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES, WS_PROTOCOLS

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
    DURATION,
    AccessFormat,
    Addresses,
    Command,
    Count,
    Headers,
    Mask,
    Mounted,
    Port,
    PortOrOff,
    PositiveSeconds,
    ProbePath,
    Seconds,
    Text,
    implementation,
)
from ashapp.server.settings.uvicorn_options import CONFIG_PARAMETERS, UVICORN_OPTIONS, converter

__all__ = [
    "REFERENCE_API",
    "Http",
    "Listening",
    "Logging",
    "Management",
    "Probing",
    "Process",
    "Reloading",
    "ServerSettings",
    "Service",
    "Settings",
    "Tls",
    "WebSocket",
]

REFERENCE_API = "ashapp.api:create_app()"

# What uvicorn would do otherwise than it is done here.
_NOT_UVICORNS = {"app", "forwarded_allow_ips", "timeout_graceful_shutdown"}
_NOT_UVICORNS |= {"limit_max_requests", "limit_max_requests_jitter"}

# Hosts that stand for all interfaces.
_ALL = {"0.0.0.0", "::", ""}  # noqa: S104 - nothing is bound by this


class Service(BaseModel, title="Options", defer_build=True):
    """What is served."""

    app: Text = REFERENCE_API
    """The application to serve."""
    mount: Mounted | None = None
    """Serve another ASGI or WSGI application below a prefix of the path, as in /mcp=module:name. May be given
    several times; separated by commas in a variable."""
    live_page: bool = True
    """Serve a live page about the service at / of the reference API, to browsers; without it / is JSON."""
    prestart: Command | None = None
    """Command that is run before the application is imported; if it fails, nothing is served, and its exit
    code is that of the service. "auto" is ./prestart.sh, if there is one. [default: off]"""
    environment: Literal["production", "development"] = "production"
    """In production a weak SECRET_KEY refuses the start; in development it warns."""
    secret_key: SecretStr | None = None
    """SECRET_KEY for a Flask application that has none of its own, or a weak one."""
    config: FilePath | None = None
    """TOML file of settings."""
    loop: Annotated[str, implementation(LOOP_FACTORIES)] | None = None
    lifespan: Literal["on", "auto", "off"] = "on"
    """Whether startup and shutdown are run."""


class Listening(BaseModel, title="Listening", defer_build=True):
    """Where connections come in."""

    host: Text = "0.0.0.0"  # noqa: S104 - DESIGN: all interfaces
    """Address to listen on."""
    port: Port = 5000
    """Port to listen on; 0 takes a free one."""
    uds: Text | None = None
    """Listen on a UNIX domain socket instead."""
    fd: Annotated[int, Field(ge=0)] | None = None
    """Listen on an inherited socket instead."""
    bind: Addresses | None = None
    """Address to listen on, in the place of host, port, uds and fd: HOST:PORT, :PORT for all interfaces with
    IPv4 and IPv6, [::1]:PORT, unix:PATH, unix:PATH?mode=660&owner=USER:GROUP or fd:NUMBER. May be given
    several times; separated by commas in a variable."""
    backlog: Count | None = None


class Process(BaseModel, title="Process", defer_build=True):
    """What the system knows of the service's processes."""

    pidfile: Path | None = None
    """File that has the id of the main process while it runs."""
    umask: Mask | None = None
    """Permissions, in octal, that files which are made do not get. [default: those of who starts it]"""


class Reloading(BaseModel, title="Reloading", defer_build=True):
    """Whether the service follows changes of its files."""

    reload: bool = False
    """Restart when a file changes. Does not turn debug on."""
    reload_delay: PositiveSeconds | None = None


class Probing(BaseModel, title="Probes", defer_build=True):
    """Which probes are answered, and where."""

    probes: bool = True
    """Answer the probes below, before the application."""
    livez_path: ProbePath = "/livez"
    """Path of the liveness probe; "off" leaves it to the application."""
    readyz_path: ProbePath = "/readyz"
    """Path of the readiness probe; "off" leaves it to the application."""
    healthz_path: ProbePath = "/healthz"
    """A second path of the liveness probe; "off" leaves it to the application."""

    @model_validator(mode="after")
    def _distinct_paths(self) -> Self:
        paths = [path for path in (self.livez_path, self.readyz_path, self.healthz_path) if path]
        if len(paths) != len(set(paths)):
            raise ValueError("livez_path, readyz_path and healthz_path must differ")
        return self


class Management(BaseModel, title="Management", defer_build=True):
    """Where operators and their machines ask how the service is."""

    management_host: Text = "127.0.0.1"
    """Address of the management port, which must never be public; 0.0.0.0 where scrapers come from other
    machines."""
    management_port: PortOrOff = 5001
    """Port of metrics and readiness in detail; 0 takes a free one, "off" leaves it out."""
    control_socket: Text = "auto"
    """Path of a socket by which "ashapp status", "stacks", "reload" and "scale" of the same user ask the
    service; "auto" is one in a folder of this user, "off" leaves it out."""
    readiness_interval: Annotated[float, Field(gt=0, le=3600), DURATION] = 5.0
    """Seconds from one run of the readiness checks to the next."""
    readiness_full_errors: bool = False
    """Show and log the whole text of what a readiness check raises, with the secrets that it may hold."""
    faults: bool = False
    """Let whoever reaches the management port ask for faults there, at /faults: latency,
    errors, crashes and more."""

    @model_validator(mode="after")
    def _has_a_port_for_faults(self) -> Self:
        if self.faults and self.management_port == "off":
            raise ValueError(
                "faults are asked for at the management port, which is off: choose a management_port"
            )
        return self


class Http(BaseModel, title="HTTP", defer_build=True):
    """How HTTP is spoken."""

    http: Annotated[str, implementation(HTTP_PROTOCOLS)] | None = None
    headers: Headers | None = None
    server_header: bool = False
    """Send the header 'Server: uvicorn'."""
    date_header: bool | None = None
    h11_max_incomplete_event_size: Count | None = None


class Tls(BaseModel, title="TLS", defer_build=True):
    """Certificates and keys."""

    ssl_keyfile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile_password: SecretStr | None = None
    ssl_cert_reqs: Annotated[int, Field(ge=0, le=2)] | None = None
    ssl_ca_certs: FilePath | None = None

    @model_validator(mode="after")
    def _has_both_files(self) -> Self:
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        return self


class WebSocket(BaseModel, title="WebSocket", defer_build=True):
    """How WebSockets are spoken."""

    ws: Annotated[str, implementation(WS_PROTOCOLS)] | None = None
    ws_max_size: Count | None = None
    ws_max_queue: Count | None = None
    ws_ping_interval: PositiveSeconds | None = None
    ws_ping_timeout: PositiveSeconds | None = None


class Logging(BaseModel, title="Logging", defer_build=True):
    """What is logged, and how it looks."""

    log_level: Literal["critical", "error", "warning", "info", "debug", "trace"] = "info"
    """Log level."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """One JSON object per line, or lines for a reader; auto takes these at a terminal."""
    log_config: FilePath | None = None
    """Logging configuration file (.ini, .json, .yaml) that replaces the log described here."""
    access_log: bool = True
    """Log each request when it has ended, at level info. Probes are left out."""
    access_log_query: bool = False
    """Log the query string of each request too, with the secrets it may hold."""
    access_log_format: AccessFormat | None = None
    """Fields of a JSON line, with commas between them, or a line by gunicorn's atoms such as %(h)s."""
    use_colors: bool | None = None
    # A person who waits begins to notice a tenth of a second; half a second is no chance.
    loop_guard: Seconds = Field(default_factory=lambda values: 0.1 if is_developed(values) else 0.5)
    """Log the stack of what blocks the event loop for longer than this; 0 for never.
    [default: 0.1 in development and with --reload, else 0.5]"""


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
    Raises ``pydantic.ValidationError`` for wrong values; `ashapp.server.settings.loading` makes one line of
    it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: Whether a developer is served, by ``ashapp dev``. It is no setting, so nothing else can ask for it.
    debug: ClassVar[bool] = False

    @model_validator(mode="after")
    def _has_an_address_for_each_port(self) -> Self:
        if self.uds is not None and self.fd is not None:
            raise ValueError("uds and fd exclude each other")
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
        return self

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
        given = {name: getattr(self, name) for name in type(self).model_fields if name in CONFIG_PARAMETERS}
        options = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in given.items()
            if value is not None and name not in _NOT_UVICORNS
        }
        # Ours instead of uvicorn's: see ``ashapp.server.proxies.scopes``.
        return {**options, "proxy_headers": False}


_OTHERS: dict[str, Any] = {
    name: (Annotated[Any, BeforeValidator(converter(option))], None)
    for name, option in UVICORN_OPTIONS.items()
    if name not in Settings.model_fields
}

#: `Settings` with a field for every other option of the installed uvicorn.
ServerSettings: type[Settings] = create_model(
    "ServerSettings", __base__=Settings, __module__=__name__, **_OTHERS
)
