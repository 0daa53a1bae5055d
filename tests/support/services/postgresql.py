# SPDX-License-Identifier: MIT
"""PostgreSQL, as the system's package has it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.process import free_port
from tests.support.services.programs import program, running

__all__ = ["postgresql"]

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "unix_socket_directories=")


@contextmanager
def postgresql(log: Path) -> Iterator[str]:
    """Run a server with nothing in it until the block ends; its URL ends with the name of a database.

    The server refuses to run as root. It is then run by its own user, in a folder that this user can reach.
    """
    initdb, postgres = (program(name, "postgresql") for name in ("initdb", "postgres"))
    user = _user()
    port = free_port()
    folder = tempfile.mkdtemp(prefix="postgresql-")
    try:
        if user is not None:
            shutil.chown(folder, user)
        create = [initdb, "--pgdata", folder, "--username", "postgres", "--auth", "trust", "--no-sync"]
        create += ["--locale", "C", "--encoding", "UTF8"]
        subprocess.run(create, user=user, cwd="/", check=True, capture_output=True, timeout=50)
        options = [part for option in _FAST for part in ("-c", option)]
        serve = [postgres, "-D", folder, "-h", "127.0.0.1", "-p", str(port), *options]
        with running(serve, log, "database system is ready to accept connections", user=user):
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"
