# SPDX-License-Identifier: MIT
"""Each setting of gunicorn and its counterpart here, or what to do instead.

The sections and the names are those of gunicorn's own reference. A test compares them with the installed
gunicorn, so that none is missing.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ashapp.observe.logs.access_format import check_format, is_line_format
from ashapp.server.settings.sources.addresses import (
    InheritedAddress,
    TcpAddress,
    UnixAddress,
    parse_addresses,
)

__all__ = ["COUNTERPARTS", "SECTIONS", "Counterpart"]

_PORT = 8000  # gunicorn's own, where a host is given alone

# Values by which gunicorn speaks the PROXY protocol, in lower case.
_PROXY_VERSIONS = {"true", "1", "auto", "v1", "v2"}


class Counterpart(NamedTuple):
    """The counterpart of a setting of gunicorn.

    *setting* is its name here, empty if there is none. *note* says what differs, or what to do instead.
    *convert* returns the settings for a value, or nothing where this value has no counterpart.
    """

    setting: str
    note: str
    convert: Callable[[Any], dict[str, Any]]


def _none(note: str) -> Counterpart:
    return Counterpart("", note, lambda _: {})


def _same(setting: str, note: str = "", convert: Callable[[Any], Any] = lambda value: value) -> Counterpart:
    return Counterpart(setting, note, lambda value: {setting: convert(value)})


def _number(setting: str, note: str = "") -> Counterpart:
    """Stand for a number; 0, which often means "any" to gunicorn, leaves our default."""
    return Counterpart(setting, note, lambda value: {setting: int(value)} if int(value) else {})


def _bind(value: Any) -> dict[str, Any]:
    texts = [_address(each.strip()) for each in (value.split(",") if isinstance(value, str) else list(value))]
    try:
        addresses = parse_addresses(texts)
    except ValueError:
        return {}
    match addresses:
        case [TcpAddress(host, port)]:
            return {"host": host, "port": port}
        case [UnixAddress(path)]:
            return {"uds": path}
        case [InheritedAddress(fd)]:
            return {"fd": fd}
    return {"bind": texts}


def _address(text: str) -> str:
    """Return an address of gunicorn's as it is written here."""
    text = text.removeprefix("tcp://")
    kind, _, rest = text.partition(":")
    if kind in {"unix", "fd"}:
        return f"{kind}:{rest.removeprefix('//')}"
    host, colon, port = text.rpartition(":")
    if not colon or port.endswith("]"):
        host, port = text, str(_PORT)
    return f"{host or '0.0.0.0'}:{port}"  # noqa: S104 - as gunicorn reads it


def _access_format(value: Any) -> dict[str, Any]:
    try:
        return {"access_log_format": check_format(value)} if is_line_format(value) else {}
    except ValueError:
        return {}


def _trusted(value: Any) -> str:
    """Return the addresses of *value*, and "unix": gunicorn trusts the peers of UNIX domain sockets."""
    addresses = [each.strip() for each in (value.split(",") if isinstance(value, str) else value)]
    return "*" if "*" in addresses else ",".join([*filter(None, addresses), "unix"])


def _proxy_protocol(value: Any) -> dict[str, Any]:
    return {"proxy_protocol": str(value).strip().lower() in _PROXY_VERSIONS}


_HOOK = "a hook of gunicorn's own processes; "
_LIFESPAN = "`on_startup` and `on_shutdown` of the application run in each worker"
_DIRTY = _none("a queue such as RQ or Celery runs long tasks beside the service")
_SYSLOG = _none("the log goes to the standard streams; journald, or the container's engine, takes it on")
_STATSD = _none("let Prometheus scrape `/metrics`, or send by OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT`)")
_UWSGI = _none("HTTP alone is spoken; let the proxy speak that")
_HTTP2 = _none("HTTP/2 ends at the proxy")
_PASTE = _none("name the WSGI application as TARGET, or a factory that loads it")
_STRICT = _none("such requests are refused with 400")
_USER = _none("start it as that user: `User=` of systemd, `runAsUser` of Kubernetes, `USER` of an image")

SECTIONS: Mapping[str, Mapping[str, Counterpart]] = {
    "Config File": {
        "config": _none("`--config` names a TOML file; `ashapp migrate` makes it"),
        "wsgi_app": _same("app", "or TARGET"),
    },
    "Control": {
        "control_socket": _same("control_socket", "`ashapp status`, `stacks`, `reload` and `scale` ask it"),
        "control_socket_disable": Counterpart(
            "control_socket", "`off`", lambda value: {"control_socket": "off"} if value else {}
        ),
        "control_socket_mode": _none("the socket is for the user of the service alone"),
    },
    "Debugging": {
        "check_config": _none("`ashapp serve --check`"),
        "print_config": _none("`ashapp serve --print-config`"),
        "reload": _same("reload", convert=bool),
        "reload_engine": _none("watchfiles where it is installed, else files are looked at"),
        "reload_extra_files": _none("`--reload-dir` and `--reload-include` say what is watched"),
        "spew": _none("use a debugger or `python -m trace`"),
    },
    "Dirty Arbiter Hooks": dict.fromkeys(
        ["dirty_post_fork", "dirty_worker_exit", "dirty_worker_init", "on_dirty_starting"], _DIRTY
    ),
    "Dirty Arbiters": dict.fromkeys(
        ["dirty_apps", "dirty_graceful_timeout", "dirty_threads", "dirty_timeout", "dirty_workers"], _DIRTY
    ),
    "HTTP/2": dict.fromkeys(
        [
            "http2_cleartext",
            "http2_initial_window_size",
            "http2_max_concurrent_streams",
            "http2_max_frame_size",
            "http2_max_header_list_size",
            "http_protocols",
        ],
        _HTTP2,
    ),
    "Logging": {
        "access_log_format": Counterpart(
            "access_log_format",
            "without `{header}o` and `{variable}e`; it may choose JSON fields",
            _access_format,
        ),
        "accesslog": _same("access_log", "on by default; it goes where the log goes", bool),
        "capture_output": _none("what the application prints goes to the standard streams"),
        "disable_redirect_access_to_syslog": _SYSLOG,
        "dogstatsd_tags": _STATSD,
        "enable_backlog_metric": _none(
            "`ashapp_thread_wait_seconds` tells how long requests wait for a thread"
        ),
        "enable_stdio_inheritance": _none("nothing is detached from the standard streams"),
        "errorlog": _none("the log goes to the standard streams; a file is made by redirecting them"),
        "logconfig": _same("log_config", "it replaces the whole log"),
        "logconfig_dict": _none("write it to a file .json or .yaml for `--log-config`"),
        "logconfig_json": _same("log_config", "its name ends in .json"),
        "logger_class": _none("`--log-config` replaces the whole log"),
        "loglevel": _same("log_level", convert=str.lower),
        "statsd_host": _STATSD,
        "statsd_prefix": _STATSD,
        **dict.fromkeys(["syslog", "syslog_addr", "syslog_facility", "syslog_prefix"], _SYSLOG),
    },
    "Process Naming": dict.fromkeys(
        ["default_proc_name", "proc_name"],
        _none("with setproctitle installed, a process is called by its role and the application"),
    ),
    "SSL": {
        "ca_certs": _same("ssl_ca_certs"),
        "cert_reqs": _same("ssl_cert_reqs", convert=int),
        "certfile": _same("ssl_certfile"),
        "ciphers": _same("ssl_ciphers"),
        "do_handshake_on_connect": _none("a handshake holds nobody up; `--timeout-head` is its time"),
        "keyfile": _same("ssl_keyfile"),
        "ssl_version": _none("the newest that both sides know, as with gunicorn"),
        "suppress_ragged_eofs": _none("they are no error"),
    },
    "Security": {
        "limit_request_field_size": _none("`--limit-head` bounds the request line and all fields together"),
        "limit_request_fields": _number("limit_fields"),
        "limit_request_line": _number("limit_target", "bytes of the target, not of the whole line"),
    },
    "Server Hooks": {
        "child_exit": _none(f"{_HOOK}metrics of a worker that ended are kept without it"),
        "nworkers_changed": _none(f"{_HOOK}`ashapp status` tells the workers"),
        "on_exit": _none(f"{_HOOK}{_LIFESPAN}"),
        "on_reload": _none(f"{_HOOK}at SIGHUP each worker is replaced, and starts anew"),
        "on_starting": _none("`--prestart` runs a command before anything is imported"),
        "post_fork": _none(f"{_HOOK}{_LIFESPAN}; nothing of the application is forked"),
        "post_request": _none("`teardown_request` of Flask"),
        "post_worker_init": _none(f"{_HOOK}{_LIFESPAN}"),
        "pre_exec": _none(f"{_HOOK}no process is executed anew"),
        "pre_fork": _none(f"{_HOOK}nothing of the application is forked"),
        "pre_request": _none("`before_request` of Flask"),
        "ssl_context": _none("the settings of TLS, or a proxy"),
        "when_ready": _none("`/readyz` is 200 when a worker serves"),
        "worker_abort": _none("the log tells the stacks of a worker that stalls"),
        "worker_exit": _none(f"{_HOOK}{_LIFESPAN}"),
        "worker_int": _none(f"{_HOOK}{_LIFESPAN}"),
    },
    "Server Mechanics": {
        "casefold_http_method": _none("methods are told apart by case (RFC 9110, 9.1)"),
        "chdir": _none("change the folder before the start: `cd`, `WorkingDirectory=`, `WORKDIR`"),
        "daemon": _none("systemd, or a container, runs it in the background"),
        "forwarded_allow_ips": _same("forwarded_allow_ips", convert=_trusted),
        "forwarder_headers": _none("`--forwarded-headers` lists the headers that proxies set"),
        "group": _USER,
        "header_map": _none("a header with an underscore is dropped, as by default"),
        "initgroups": _USER,
        "paste": _PASTE,
        "permit_obsolete_folding": _STRICT,
        "permit_unconventional_http_method": _STRICT,
        "permit_unconventional_http_version": _STRICT,
        "pidfile": _same("pidfile"),
        "preload_app": _none("each worker imports the application; what we bring is imported once"),
        "protocol": _UWSGI,
        "proxy_allow_ips": _same("forwarded_allow_ips", "one list for both", _trusted),
        "proxy_protocol": Counterpart("proxy_protocol", "both versions are understood", _proxy_protocol),
        "pythonpath": _none("the variable PYTHONPATH"),
        "raw_env": _none("`--env-file` names a file of variables"),
        "raw_paste_global_conf": _PASTE,
        "reuse_port": _none("workers share one socket"),
        "root_path": _same("root_path"),
        "secure_scheme_headers": _none("X-Forwarded-Proto or Forwarded (RFC 7239)"),
        "sendfile": _none("files are read in pieces, and need no system call of their own"),
        "strip_header_spaces": _STRICT,
        "tmp_upload_dir": _none("the variable TMPDIR"),
        "umask": _same("umask", convert=lambda value: f"{int(value):03o}"),
        "user": _USER,
        "uwsgi_allow_ips": _UWSGI,
        "worker_tmp_dir": _none("workers tell by a pipe that they are alive"),
    },
    "Server Socket": {
        "backlog": _number("backlog"),
        "bind": Counterpart("bind", "`host` and `port`, `uds` or `fd` for one address", _bind),
    },
    "Worker Processes": {
        "asgi_disconnect_grace_period": _none("a view is cancelled when its client has gone"),
        "asgi_lifespan": _same("lifespan"),
        "asgi_loop": _same("loop"),
        "graceful_timeout": _number("timeout_graceful_shutdown", "from the end of `--drain-delay`"),
        "http_parser": _none("`--http` chooses httptools or h11"),
        "keepalive": _number("timeout_keep_alive", "longer than a proxy keeps a connection, or 502s come"),
        "max_requests": _number("limit_max_requests"),
        "max_requests_jitter": _number("limit_max_requests_jitter"),
        "threads": _number("threads", "40 by default; 1 for an application that is not thread-safe"),
        "timeout": _none(
            "no long request holds up a worker; `--request-timeout` answers 504, and `--stall-timeout` "
            "replaces a worker whose loop is blocked"
        ),
        "websocket_max_message_size": _number("ws_max_size"),
        "worker_class": _none("one kind serves sync views on threads and async views on its loop"),
        "worker_connections": _number("limit_in_flight", "requests, not connections"),
        "workers": _number("workers", "one for each core is enough, as a worker has threads"),
    },
}

#: The same, without the sections.
COUNTERPARTS: Mapping[str, Counterpart] = {
    name: counterpart for section in SECTIONS.values() for name, counterpart in section.items()
}
