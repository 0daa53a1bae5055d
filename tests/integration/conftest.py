# SPDX-License-Identifier: MIT
"""Ways to ask the server that a folder or a file of tests has for itself: its fixture ``server``."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.support.client import Address
from tests.support.process import ServerProcess

_SHOP = """
    import time
    from pathlib import Path
    from flask import Flask
    from ashapp import readiness_check

    app = Flask(__name__)
    app.secret_key = "2fd0a5c1e8b94763"

    def wait():
        while not Path("go").exists():
            time.sleep(0.01)

    @readiness_check("cache")
    async def cache():
        if Path("down").exists():
            raise ConnectionRefusedError("cache.test:6379")

    @app.get("/block/<int:number>")
    def block(number):
        Path(f"{number}.began").touch()
        wait()
        return str(number)

    @app.get("/async")
    async def on_the_loop():
        return "served"

    @app.get("/stall")
    async def stall():
        wait()
        return "done"
    """


@pytest.fixture
def address(server: ServerProcess) -> Address:
    return server.address


@pytest.fixture
def client(server: ServerProcess) -> Iterator[httpx.Client]:
    """A client without cookies."""
    with httpx.Client(base_url=server.base_url, trust_env=False, verify=False, timeout=20) as client:
        yield client


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Path]:
    """A folder with ``shop:app``, whose views block until there is a file called ``go``."""
    (tmp_path / "shop.py").write_text(dedent(_SHOP))
    yield tmp_path
    (tmp_path / "go").touch()
