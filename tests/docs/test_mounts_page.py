# SPDX-License-Identifier: MIT
"""What docs/mounts.md shows; its MCP server is tried in tests/integration/mounts."""

from pathlib import Path
from typing import Any

from ashapp.testing import Client
from tests.support.page import Page

PAGE = Page(Path(__file__).parents[2] / "docs" / "mounts.md")


def test_the_snippet_mounts_an_application() -> None:
    names: dict[str, Any] = {}
    exec(PAGE.python("Mount an application"), names)
    with Client(names["application"]) as client:
        texts = [client.get(path).text for path in ("/", "/where/x", "/whereabouts")]
    assert texts[:2] == ["the shop", "/where/x below /where"]
    assert "Not Found" in texts[2]
