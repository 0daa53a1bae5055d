# SPDX-License-Identifier: MIT
"""The page of the reference API, which is live."""

from typing import Literal

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.visit import PHONE, Visit, is_wider_than_the_screen, smallest_font, violations
from tests.support.process import ServerProcess
from tests.support.waiting import until


def requests_for(page: Page, route: str) -> int:
    """Return how many requests for a route the page shows."""
    header = page.get_by_role("rowheader", name=route, exact=True)
    row = page.locator(".routes").get_by_role("row").filter(has=header)
    return int(row.get_by_role("cell").last.inner_text()) if row.count() else 0


def ask(server: ServerProcess, *paths: str) -> None:
    with httpx.Client(base_url=server.base_url, trust_env=False) as client:
        for path in paths:
            client.get(path, headers={"Connection": "close"})  # so that each worker gets some


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_page(
    visit: Visit, server: ServerProcess, scheme: Literal["light", "dark"]
) -> None:
    ask(server, "/status/503", "/nowhere")
    page = visit.open(scheme=scheme)
    expect(page.get_by_role("status")).to_have_text("Live")
    expect(page.get_by_role("cell", name="no route").first).to_be_visible()
    assert violations(page) == []


def test_the_page_can_be_read_on_a_phone(visit: Visit, server: ServerProcess) -> None:
    ask(server, "/delay/0", "/status/503")
    page = visit.open(size=PHONE)
    until(lambda: requests_for(page, "/delay/<seconds>"))
    assert not is_wider_than_the_screen(page)
    assert smallest_font(page) >= 12


def test_the_figures_move_under_load_and_are_those_of_all_workers(
    visit: Visit, server: ServerProcess
) -> None:
    page = visit.open()
    expect(page.get_by_role("status")).to_have_text("Live")
    before = requests_for(page, "/headers")
    ask(server, *["/headers"] * 40)
    until(lambda: page.locator("#rate").inner_text() != "0")
    until(lambda: requests_for(page, "/headers") == before + 40)
    expect(page.locator(".plot path.thread")).to_have_count(1)


def test_the_page_can_be_paused(visit: Visit) -> None:
    page = visit.open()
    expect(page.get_by_role("status")).to_have_text("Live")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_have_text("Paused")
    shown = page.locator("#figures").inner_text()
    page.wait_for_timeout(1500)
    assert page.locator("#figures").inner_text() == shown
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("status")).to_have_text("Live")


def test_without_scripts_the_page_is_whole(visit: Visit, server: ServerProcess) -> None:
    ask(server, "/headers")
    page = visit.open(scripts=False)
    until(lambda: page.reload() and requests_for(page, "/headers"))
    expect(page.get_by_role("heading", level=1)).to_have_text("ashapp-backend")
    expect(page.get_by_role("button")).to_have_count(0)
    page.get_by_role("link", name="/version").click()
    expect(page.locator("body")).to_contain_text('"flask"')
