# SPDX-License-Identifier: MIT
"""The page of operations of the reference API."""

from typing import Any, Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.visit import PHONE, Visit, is_wider_than_the_screen, smallest_font, violations


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_the_page(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    page = visit.open("/docs", scheme=scheme)
    form = unfold(page, "cookies")
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("status")).to_have_text("200 OK")
    assert violations(page) == []


def test_the_page_can_be_read_on_a_phone(visit: Visit) -> None:
    page = visit.open("/docs", size=PHONE)
    assert not is_wider_than_the_screen(page)
    assert smallest_font(page) >= 12


def test_without_scripts_the_page_is_a_reference(visit: Visit) -> None:
    page = visit.open("/docs", scripts=False)
    expect(page.locator("#delay")).to_contain_text("a decimal number from 0 to 10")
    expect(page.get_by_role("button")).to_have_count(0)


def test_an_operation_with_a_body_is_tried_by_keyboard(visit: Visit) -> None:
    page = visit.open("/docs")
    form = unfold(page, "set_cookie")
    form.get_by_label("Body").fill('{"value": "oat"}')
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("status")).to_have_text("200 OK")
    expect(form.get_by_role("region")).to_contain_text('{"cookies":{"flavour":"oat"}}')


def test_a_stream_is_shown_as_it_comes_and_can_be_stopped(visit: Visit) -> None:
    page = visit.open("/docs")
    form = unfold(page, "events")
    form.get_by_label("count").fill("1000")
    form.get_by_role("button", name="Send").press("Enter")
    expect(form.get_by_role("region")).to_contain_text('{"number": 2, "of": 1000}')
    form.get_by_role("button", name="Stop").press("Enter")
    expect(form.get_by_role("status")).to_have_text("200 OK, stopped")


def unfold(page: Page, operation: str) -> Any:
    """Open the form of an *operation* by keyboard, and return it."""
    article = page.locator(f"#{operation}")
    article.locator("summary").press("Enter")
    return article.locator("form")
