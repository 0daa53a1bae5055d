# SPDX-License-Identifier: MIT
"""The documentation site that ``tox -e docs`` has built."""

import re
from pathlib import Path

import pytest

import ashapp
from ashapp.server.settings.model import ServerSettings

SITE = Path(__file__).parents[2] / "build" / "docs"
PAGES = sorted(SITE.rglob("*.html"))


def page(name: str) -> str:
    return (SITE / "reference" / f"{name}.html").read_text()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_loads_nothing_from_elsewhere(path: Path) -> None:
    tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", path.read_text())
    assert tags
    assert not [tag for tag in tags if re.search(r'(?:src|href)="(?:https?:)?//', tag)]


def test_a_style_loads_nothing_from_elsewhere() -> None:
    styles = sorted(SITE.rglob("*.css"))
    assert styles
    assert not [path for path in styles if re.search(r"url\(.?(?:https?:)?//|@import", path.read_text())]


def test_each_setting_is_there() -> None:
    text = page("settings")
    assert [name for name in ServerSettings.fields if f"ASHAPP_{name.upper()}" not in text] == []


@pytest.mark.parametrize("status", [400, 408, 411, 413, 414, 415, 431, 501, 503, 504, 505])
def test_each_status_of_a_refusal_is_there(status: int) -> None:
    assert f"<p>{status}</p>" in page("errors")


def test_each_refusal_says_when() -> None:
    assert "<p>…</p>" not in page("errors")


@pytest.mark.parametrize("name", sorted(set(ashapp.__all__) - {"__version__"}))
def test_each_public_name_is_there(name: str) -> None:
    assert f'id="ashapp.{name}"' in page("api")
