# SPDX-License-Identifier: MIT
"""What the pages of docs show and say, against what there is."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from ashapp.server.fault_injection.fault import KINDS, Fault, parse
from ashapp.server.gunicorn.settings_file import read_gunicorn_file, settings_file
from ashapp.testing import Client
from tests.support import process
from tests.support.page import Page

DOCS = Path(__file__).parents[2] / "docs"
FAULTS = (DOCS / "faults.md").read_text(encoding="utf-8")
SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""


def test_faults_has_all_kinds_and_their_keys() -> None:
    before, _, after = FAULTS.partition("These keys go with")
    rows = re.findall(r"^\| `(\w+)` +\|.*\|(.*)\|$", before, re.MULTILINE)
    told = {kind: re.findall(r"`(\w+)`", keys) for kind, keys in rows}
    common = {"kind", *re.findall(r"^\| `(\w+)`", after, re.MULTILINE)}
    assert common == set(Fault.fields)
    assert {kind: set(keys) | common for kind, keys in told.items()} == {
        kind: set(model.fields) for kind, model in KINDS.items()
    }


@pytest.mark.parametrize("text", re.findall(r'\{"kind.*?\}', FAULTS))
def test_the_faults_of_faults_can_be_asked_for(text: str) -> None:
    parse(text.encode())


def test_faults_has_a_command_to_ask_list_and_clear() -> None:
    (commands, *_) = Page(DOCS / "faults.md").sections["Ask for a fault"].of("sh")
    assert [line.split()[0] for line in commands.splitlines()] == ["ashapp", "curl", "curl", "curl"]


def test_gunicorn_shows_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section = Page(DOCS / "gunicorn.md").sections["The settings file"]
    file = Path("gunicorn.conf.py")
    file.write_text(*section.of("python"))
    made = settings_file(read_gunicorn_file(file), str(file))
    assert made.splitlines() == section.of("toml")[0].splitlines()


def test_mounts_mounts_an_application() -> None:
    """Its MCP server is tried in tests/integration/mounts."""
    names: dict[str, Any] = {}
    exec(Page(DOCS / "mounts.md").python("Mount an application"), names)
    with Client(names["application"]) as client:
        texts = [client.get(path).text for path in ("/", "/where/x", "/whereabouts")]
    assert texts[:2] == ["the shop", "/where/x below /where"]
    assert "Not Found" in texts[2]


def test_reference_api_tells_of_every_route_and_its_snippet_makes_an_application() -> None:
    names: dict[str, Any] = {}
    page = Page(DOCS / "reference-api.md")
    exec(page.python("Settings"), names)
    app = names["app"]
    text = page.path.read_text(encoding="utf-8")
    rules = {rule.rule for rule in app.url_map.iter_rules()} - {"/mine"}
    assert [rule for rule in rules if f"`{rule}`" not in text] == []
    with Client(app) as client:
        assert client.get("/mine").json() == {"mine": True}
        assert client.get("/delay/61").json()["detail"] in text.replace("to 10, not '60'", "to 60, not '61'")


def test_the_snippets_of_testing_are_tests_that_pass(tmp_path: Path) -> None:
    (tmp_path / "test_shop.py").write_text(Page(DOCS / "testing.md").python(), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(SETTINGS, encoding="utf-8")
    done = process.run(command=(sys.executable, "-m", "pytest", "-q", "."), cwd=tmp_path)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
