# SPDX-License-Identifier: MIT
"""Every setting of the service, typed, with its range and its default.

A setting is given by a command-line flag, an environment variable or a key of a TOML file; the first of these
that names it wins (``ashapp.server.settings.sources`` reads them). Settings of uvicorn have uvicorn's names
and, where nothing else is said here, uvicorn's defaults: ``None`` stands for "as uvicorn does it".
"""

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    SecretStr,
    create_model,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from uvicorn.config import HTTP_PROTOCOLS, LOOP_FACTORIES, WS_PROTOCOLS

from ashapp.server.settings import sources
from ashapp.server.settings.lifecycle import (
    DRAIN_DELAY,
    END_SLACK,
    GRACEFUL,
    LONE_STALL_TIMEOUT,
    STALL_TIMEOUT,
    Lifecycle,
)
from ashapp.server.settings.limits import Limits
from ashapp.server.settings.logs import Logging
from ashapp.server.settings.management import Management
from ashapp.server.settings.probes import Probing
from ashapp.server.settings.proxies import Proxying
from ashapp.server.settings.uvicorn_options import CONFIG_PARAMETERS, UVICORN_OPTIONS, converter

__all__ = ["REFERENCE_API", "ServerSettings", "Settings"]

REFERENCE_API = "ashapp.api:create_app()"

# What uvicorn would do otherwise than it is done here.
_NOT_UVICORNS = frozenset(
    {"app", "forwarded_allow_ips", "limit_concurrency", "limit_max_requests", "limit_max_requests_jitter"}
)

# Hosts that stand for all interfaces.
_ALL = {"0.0.0.0", "::"}  # noqa: S104 - nothing is bound by this

# Seconds that the loop may be blocked: what a person who waits begins to notice, and what is no chance.
_ATTENDED_GUARD = 0.1
_GUARD = 0.5

# RFC 9110, 5.1 and 5.5: a token, and a value without control characters.
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


def _root_path(value: str) -> str:
    if value.strip("/") and not value.startswith("/"):
        raise ValueError("must begin with a slash")
    return value.rstrip("/")


def _header_lines(value: Any) -> Any:
    return [line for line in value.splitlines() if line.strip()] if isinstance(value, str) else value


def _headers(lines: list[str]) -> list[tuple[str, str]]:
    matches = [(line, _HEADER.fullmatch(line.strip())) for line in lines]
    wrong = [line for line, match in matches if match is None]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is not a header of the form 'Name: value'")
    return [(match[1], match[2]) for _, match in matches if match]


def _implementation(known: Iterable[str]) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known and not re.fullmatch(r"[\w.]+:[\w.]+", value):
            raise ValueError(f"must be one of {', '.join(known)}, or an import string 'module:attribute'")
        return value

    return AfterValidator(check)


class Settings(Lifecycle, Limits, Management, Probing, Logging, Proxying, BaseSettings):
    """The settings that are known by name here; `ServerSettings` adds uvicorn's others.

    Raises ``pydantic.ValidationError`` for wrong values; `ashapp.server.settings.loading` makes one line of
    it.
    """

    model_config = SettingsConfigDict(
        env_prefix="ASHAPP_",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        validate_default=False,
    )

    app: str = Field(default=REFERENCE_API, min_length=1, description="The application to serve.")
    environment: Literal["production", "development"] = Field(
        default="production",
        description="In production a weak SECRET_KEY refuses the start; in development it warns.",
    )
    secret_key: SecretStr | None = Field(
        default=None,
        description="SECRET_KEY for a Flask application that has none of its own, or a weak one.",
    )
    threads: int = Field(default=40, ge=1, le=4096, description="Threads of each worker that run sync views.")
    async_views: Literal["loop", "thread"] | None = Field(
        default=None,
        description="Where async views run: on the event loop, or each on a thread, with a loop of its own, "
        "as they may block. [default: ASHAPP_ASYNC_VIEWS in the application's config, else loop]",
    )
    async_threads: int = Field(
        default=1000,
        ge=1,
        le=32768,
        description="Threads of each worker for the sync hooks of async views. A request that has such hooks "
        "holds one of its own, from the first to its end. Never more than 1 with --threads 1.",
    )
    thread_locals: Literal["request", "thread"] = Field(
        default="request",
        description="Whose the values of a threading.local are in a request with an async view: the "
        "request's own, or those of the thread, which all such requests share.",
    )
    config: FilePath | None = Field(default=None, description="TOML file of settings.")

    host: str = Field(default="0.0.0.0", min_length=1, description="Address to listen on.")  # noqa: S104 - DESIGN: all interfaces
    port: int = Field(default=5000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    uds: str | None = Field(default=None, min_length=1, description="Listen on a UNIX domain socket instead.")
    fd: int | None = Field(default=None, ge=0, description="Listen on an inherited socket instead.")
    backlog: int | None = Field(default=None, ge=1)
    workers: int = Field(default=1, ge=1, le=1024, description="Worker processes.")
    reload: bool = Field(default=False, description="Restart when a file changes. Does not turn debug on.")
    reload_delay: float | None = Field(default=None, gt=0)
    root_path: Annotated[str, AfterValidator(_root_path)] = Field(
        default="", description="URL path that a proxy strips before it passes requests on."
    )
    headers: Annotated[
        list[str] | None, NoDecode, BeforeValidator(_header_lines), AfterValidator(_headers)
    ] = Field(default=None)
    server_header: bool = Field(default=False, description="Send the header 'Server: uvicorn'.")

    loop: Annotated[str, _implementation(LOOP_FACTORIES)] | None = None
    http: Annotated[str, _implementation(HTTP_PROTOCOLS)] | None = None
    ws: Annotated[str, _implementation(WS_PROTOCOLS)] | None = None
    ws_max_size: int | None = Field(default=None, ge=1)
    ws_max_queue: int | None = Field(default=None, ge=1)
    ws_ping_interval: float | None = Field(default=None, gt=0)
    ws_ping_timeout: float | None = Field(default=None, gt=0)
    lifespan: Literal["on", "auto", "off"] = Field(
        default="on", description="Whether startup and shutdown are run."
    )
    h11_max_incomplete_event_size: int | None = Field(default=None, ge=1)

    loop_guard: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Log the stack of what blocks the event loop for longer than this; 0 for never. "
        "[default: 0.1 in development and with --reload, else 0.5]",
    )

    ssl_keyfile: FilePath | None = None
    ssl_certfile: FilePath | None = None
    ssl_keyfile_password: SecretStr | None = None
    ssl_cert_reqs: int | None = Field(default=None, ge=0, le=2)
    ssl_ca_certs: FilePath | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.uds is not None and self.fd is not None:
            raise ValueError("uds and fd exclude each other")
        if self.ssl_keyfile and not self.ssl_certfile:
            raise ValueError("ssl_keyfile needs ssl_certfile")
        if self.supervisor is False and self._needs_supervisor:
            raise ValueError("workers > 1, limit_max_requests and limit_max_memory need the supervisor")
        if self._has_management_in_its_place:
            raise ValueError(
                f"port and management_port are both {self.port}: choose another management_port, or off"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - replaced
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of the base class
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of the base class
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the strongest first."""
        return (
            init_settings,
            sources.Environment(settings_cls),
            sources.MountedFiles(settings_cls),
            sources.CustomaryVariables(settings_cls),
            sources.ConfigFile(settings_cls),
        )

    @property
    def worker_count(self) -> int:
        """Processes that answer requests: reloading is done with one."""
        return 1 if self.reload else self.workers

    @property
    def is_supervised(self) -> bool:
        """Whether workers run below a supervisor; reloading has one of its own."""
        return self.supervisor or self._needs_supervisor

    @property
    def _has_management_in_its_place(self) -> bool:
        """Whether both would listen at one address: before they do, the kernel would let them bind it."""
        on_tcp = self.uds is None and self.fd is None and self.port != 0
        hosts = {self.host, self.management_host}
        return on_tcp and self.port == self.management_port and (len(hosts) == 1 or bool(hosts & _ALL))

    @property
    def _needs_supervisor(self) -> bool:
        return self.workers > 1 or bool(self.limit_max_requests or self.limit_max_memory)

    @property
    def is_attended(self) -> bool:
        """Whether a person waits for what the service does: a developer, or someone at a terminal."""
        return self.reload or self.environment == "development" or sys.stderr.isatty()

    @property
    def drain_seconds(self) -> float:
        """Seconds from a signal to end until the listeners are closed."""
        if self.drain_delay is not None:
            return self.drain_delay
        return 0 if self.is_attended else DRAIN_DELAY

    @property
    def graceful_seconds(self) -> int:
        """Seconds from the end of the drain until requests in flight, such as streams, are cancelled."""
        if self.timeout_graceful_shutdown is not None:
            return self.timeout_graceful_shutdown
        return 1 if self.is_attended else GRACEFUL

    @property
    def end_seconds(self) -> float:
        """Seconds from the end of the drain until a process has ended, or is given up."""
        return self.graceful_seconds + self.timeout_lifespan_shutdown + END_SLACK

    @property
    def stall_seconds(self) -> float:
        """Seconds that the event loop may be blocked before the worker is replaced; 0 for ever."""
        if self.stall_timeout is not None:
            return self.stall_timeout
        if self.is_attended:
            return 0
        return STALL_TIMEOUT if self.is_supervised else LONE_STALL_TIMEOUT

    @property
    def loop_guard_threshold(self) -> float:
        """Seconds that the event loop may be blocked before that is logged; 0 if it is not watched."""
        if self.loop_guard is not None:
            return self.loop_guard
        return _ATTENDED_GUARD if self.reload or self.environment == "development" else _GUARD

    def uvicorn_config(self) -> dict[str, Any]:
        """Return the keyword arguments for ``uvicorn.Config``; what is not set keeps uvicorn's default."""
        given = {name: getattr(self, name) for name in type(self).model_fields if name in CONFIG_PARAMETERS}
        options = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in given.items()
            if value is not None and name not in _NOT_UVICORNS
        }
        # Ours instead of uvicorn's: see ``ashapp.server.middleware.proxies``.
        return {**options, "proxy_headers": False}


def _other_fields() -> Mapping[str, Any]:
    return {
        name: (Annotated[Any, BeforeValidator(converter(option))], None)
        for name, option in UVICORN_OPTIONS.items()
        if name not in Settings.model_fields
    }


#: `Settings` with a field for every other option of the installed uvicorn.
ServerSettings: type[Settings] = create_model(
    "ServerSettings", __base__=Settings, __module__=__name__, **_other_fields()
)
