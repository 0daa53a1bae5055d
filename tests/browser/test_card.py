# SPDX-License-Identifier: MIT
"""The page of the reference API."""

from typing import Literal

import pytest
from playwright.sync_api import expect

from tests.browser.visit import PHONE, Visit, is_wider_than_the_screen, smallest_font, violations


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_page(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    assert violations(visit.open(scheme=scheme)) == []


def test_the_page_can_be_read_on_a_phone(visit: Visit) -> None:
    page = visit.open(size=PHONE)
    assert not is_wider_than_the_screen(page)
    assert smallest_font(page) >= 12


def test_without_scripts_the_page_is_whole(visit: Visit) -> None:
    page = visit.open(scripts=False)
    expect(page.get_by_role("heading", level=1)).to_have_text("ashapp-backend")
    page.get_by_role("link", name="/version").click()
    expect(page.locator("body")).to_contain_text('"flask"')
