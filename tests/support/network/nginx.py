# SPDX-License-Identifier: MIT
"""nginx in front of some servers, as the system's package has it."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.client import Address
from tests.support.process import free_port
from tests.support.waiting import is_listening, until

__all__ = ["needs_nginx", "nginx", "nginx_of"]

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx") is None,
    reason="nginx is not installed (Debian, Ubuntu: apt-get install nginx-light)",
)

_KEEP_ALIVE = 'proxy_set_header Connection "";'

_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    {http}
}}
"""

# max_fails=0: of two servers, one is not given up for ten seconds because it was restarted.
_SITE = """
    upstream service {{
        {servers}
        keepalive 16;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            {directives}
        }}
        location /closed {{ return 403; }}
    }}
"""


@contextmanager
def nginx(folder: Path, servers: Sequence[Address], directives: str = _KEEP_ALIVE) -> Iterator[Address]:
    """Pass requests on to *servers* in turn, over connections that are kept alive, until the block ends.

    Those for paths that begin with ``/closed`` are answered with 403. *directives* are those of the others.
    """
    lines = "\n        ".join(f"server {host}:{port} max_fails=0;" for host, port in servers)
    with nginx_of(folder, _SITE.format(servers=lines, listen="{listen}", directives=directives)) as address:
        yield address


@contextmanager
def nginx_of(folder: Path, site: str) -> Iterator[Address]:
    """Run nginx with *site*, what it has within ``http``, where ``{listen}`` is to be the address."""
    address = ("127.0.0.1", free_port())
    http = site.replace("{listen}", "{}:{}".format(*address))
    config = folder / "nginx.conf"
    config.write_text(_MAIN.format(folder=folder, http=http))
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    with subprocess.Popen(command) as process:
        try:
            until(lambda: is_listening(address) or process.poll() is not None)
            assert process.poll() is None, (folder / "error.log").read_text()
            yield address
        finally:
            process.terminate()
