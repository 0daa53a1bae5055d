# SPDX-License-Identifier: MIT
"""What docs/async.md says, of its own snippets: where views run, and the code around them."""

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from ashapp import FlaskToAsgi
from tests.docs.conftest import Prices, Run
from tests.support import process
from tests.support.client import fetch
from tests.support.journal import Journal
from tests.support.page import Page
from tests.support.server import serving

VIEW = "Turn one view into `async def`"
ROUTES = (sys.executable, "-m", "ashapp", "routes")


def url(address: tuple[str, int]) -> str:
    return f"http://{address[0]}:{address[1]}"


async def get_all(base: str, count: int, path: str) -> list[int]:
    """Ask *count* times at once; return the statuses."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=base, limits=limits, timeout=20) as client:
        responses = await asyncio.gather(*(client.get(path) for _ in range(count)))
    return [response.status_code for response in responses]


# -- the page as a whole


def test_the_whole_page_is_one_program(guide: Page) -> None:
    source = guide.python()
    names: dict[str, Any] = {"__name__": "shop"}
    exec(compile(source, guide.path.name, "exec"), names)
    endpoints = set(names["app"].view_functions) - {"static"}
    assert endpoints == {
        *("price", "report", "export", "ticks", "progress", "count", "quote", "order", "take_back"),
        *("item", "item_on_the_loop", "article", "customers", "suppliers", "news"),
    }


# -- serve what you have; see where it runs


@pytest.fixture
def shop(guide: Page, prices: Prices, tmp_path: Path) -> Path:
    """The application of the first section, as a file."""
    source = guide.python("Serve what you have").replace("http://prices.internal", prices.url)
    (tmp_path / "shop.py").write_text(source)
    return tmp_path


def test_what_there_is_can_be_served(shop: Path) -> None:
    environment = {"ASHAPP_SECRET_KEY": "a key for tests that is long enough"}
    with process.serving(["shop:app"], cwd=shop, env=environment) as server:
        assert httpx.get(f"{server.base_url}/price/tea").json() == {"price": 3}


def test_routes_are_shown(shop: Path, guide: Page) -> None:
    shown = process.run(["shop:app"], cwd=shop, command=ROUTES)
    assert shown.returncode == 0
    [expected] = guide.sections["See where it runs"].of("text")
    assert [line.rstrip() for line in shown.stdout.splitlines()] == expected.splitlines()


# -- one view


@pytest.mark.parametrize("by", ["lifespan", "on_startup"])
async def test_many_requests_wait_at_once_with_one_client(run: Run, prices: Prices, by: str) -> None:
    shop = run(VIEW)
    shop.app.config["PRICES"] = prices.url
    if by == "lifespan":
        vars(shop.app).update(on_startup=[], on_shutdown=[])
    else:
        del vars(shop.app)["lifespan"]
    prices.needed = 60
    before = set(threading.enumerate())
    with serving(FlaskToAsgi(shop.app, threads=1)) as address:
        assert await get_all(url(address), 60, "/price/tea") == [200] * 60
        assert [thread.name for thread in set(threading.enumerate()) - before] == ["uvicorn"]
        client = shop.app.extensions["prices"]
        assert not client.is_closed
    assert prices.most == 60
    assert client.is_closed


def test_a_startup_that_fails_stops_the_worker(guide: Page, tmp_path: Path) -> None:
    source = guide.python(VIEW).replace('httpx.AsyncClient(base_url=app.config["PRICES"])\n\n', "1 / 0\n\n")
    (tmp_path / "shop.py").write_text(source)
    ended = process.run(["shop:app", "--environment", "development", "--port", "0"], cwd=tmp_path)
    assert ended.returncode != 0
    assert "connect failed: ZeroDivisionError" in ended.stderr


# -- what blocks


def test_a_marked_view_may_block(run: Run) -> None:
    journal = Journal()

    class Clock:
        @staticmethod
        def sleep(seconds: float) -> None:
            journal.note("sleep", threading.current_thread().name)

    shop = run("Keep what blocks on threads", {"import time\n": ""}, time=Clock)
    with serving(FlaskToAsgi(shop.app)) as address:
        assert fetch(address, "/export").body == b'{"ready":true}\n'
    assert journal["sleep"].value == "ashapp-own-loop"
