# SPDX-License-Identifier: MIT
"""Names the option to use in place of a familiar one of gunicorn, uvicorn or Flask."""

from collections.abc import Mapping

from ashapp.server.gunicorn.counterparts import COUNTERPARTS

__all__ = ["what_is_here"]

# gunicorn's options whose names differ from those of their settings.
_GUNICORNS: Mapping[str, str] = {
    "-D": "daemon",
    "-R": "enable_stdio_inheritance",
    "-c": "config",
    "-e": "raw_env",
    "-g": "group",
    "-k": "worker_class",
    "-m": "umask",
    "-n": "proc_name",
    "-t": "timeout",
    "-u": "user",
    "--access-logfile": "accesslog",
    "--access-logformat": "access_log_format",
    "--dirty-app": "dirty_apps",
    "--env": "raw_env",
    "--error-logfile": "errorlog",
    "--keep-alive": "keepalive",
    "--log-config-json": "logconfig_json",
    "--log-file": "errorlog",
    "--log-syslog": "syslog",
    "--log-syslog-facility": "syslog_facility",
    "--log-syslog-prefix": "syslog_prefix",
    "--log-syslog-to": "syslog_addr",
    "--name": "proc_name",
    "--no-control-socket": "control_socket_disable",
    "--no-sendfile": "sendfile",
    "--paste-global": "raw_paste_global_conf",
    "--paster": "paste",
    "--pid": "pidfile",
    "--preload": "preload_app",
    "--proxy-allow-from": "proxy_allow_ips",
    "--reload-extra-file": "reload_extra_files",
    "--uwsgi-allow-from": "uwsgi_allow_ips",
}

_OF_OTHERS: Mapping[str, str] = {
    "--app": "Flask's: name the application as TARGET, as in 'ashapp serve module:app'",
    "--app-dir": "uvicorn's: name the application by its path, as in 'ashapp serve folder/app.py'",
    "--debug": "Flask's: 'ashapp dev' serves for a developer",
    "--factory": "uvicorn's: name the factory as TARGET, and it is called",
}


def what_is_here(option: str) -> str:
    """Return whose *option* it is, and what to use instead; empty for an unknown one."""
    if option in _OF_OTHERS:
        return _OF_OTHERS[option]
    name = _GUNICORNS.get(option, option.removeprefix("--").replace("-", "_"))
    found = COUNTERPARTS.get(name)
    if found is None:
        return ""
    ours = f"`--{found.setting.replace('_', '-')}`" if found.setting else ""
    return f"gunicorn's {name}: {'; '.join(filter(None, [ours, found.note]))}"
