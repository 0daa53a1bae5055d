# SPDX-License-Identifier: MIT
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ashapp.server.cli import main
from tests.support.process import run

Project = Callable[..., Path]

ROUTES = (sys.executable, "-m", "ashapp", "routes")

SHOP = """
    import os
    from flask import Flask

    app = Flask(os.environ.get("SHOP_NAME", "shop"))
    app.secret_key = "weak"

    @app.get("/wait")
    async def wait():
        return "waited"

    @app.before_request
    def load_user(): ...

    def application(environ, start_response):
        return []
    """


def routes(*args: str) -> Result:
    return CliRunner().invoke(main.main, ["routes", *args])


@pytest.mark.parametrize("variable", [True, False])
def test_the_target_is_found_as_by_serve(
    project: Project, monkeypatch: pytest.MonkeyPatch, *, variable: bool
) -> None:
    project(shop=SHOP)
    if variable:
        monkeypatch.setenv("ASHAPP_APP", "shop:app")
    result = routes(*([] if variable else ["shop:app"]))
    assert result.exit_code == 0
    assert re.search(r"^/wait +GET +wait +async +loop", result.stdout, re.MULTILINE)


def test_without_a_target_it_is_the_reference_api() -> None:
    result = routes()
    assert re.search(r"^/delay/<seconds> .* async +loop", result.stdout, re.MULTILINE)
    assert "No application is named, and there is none here" in result.output


def test_the_json_is_all_that_is_printed(project: Project) -> None:
    folder = project(shop=f"{SHOP}\n    print('the shop is open')")
    result = run(["shop", "--json"], command=ROUTES, cwd=folder)
    assert result.stderr == "the shop is open\n"
    report = json.loads(result.stdout)
    assert [route.pop("endpoint") for route in report["routes"]] == ["static", "wait"]
    assert report["routes"].pop() == {
        "rule": "/wait",
        "domain": None,
        "methods": ["GET", "HEAD", "OPTIONS"],
        "view": "shop.wait",
        "kind": "async",
        "async_methods": [],
        "runs_on": "loop",
        "reason": None,
        "own_loop": False,
        "websocket": False,
        "held_by": ["before_request shop.load_user"],
    }
    hook = {"hook": "before_request", "on": None, "name": "shop.load_user", "blueprint": None, "kind": "sync"}
    assert report["hooks"] == [{**hook, "runs_on": "request_thread"}]
    assert (report["target"], report["flask"], report["reason"]) == ("shop", True, None)


def test_another_wsgi_callable_is_one_line(project: Project) -> None:
    project(shop=SHOP)
    (line,) = routes("shop:application").output.splitlines()
    told = "it is no Flask application"
    assert line == "shop:application is no Flask application: each request runs on a thread as a whole."
    expected = {
        "target": "shop:application",
        "flask": False,
        "reason": told,
        "routes": [],
        "hooks": [],
        "mounts": {},
        "tools": [],
    }
    assert json.loads(routes("shop:application", "--json").output) == expected


def test_the_settings_say_where_async_views_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASHAPP_ASYNC_VIEWS", "thread")
    project(shop=SHOP)
    report = json.loads(routes("shop", "--json").output)
    assert report["reason"] == "ASHAPP_ASYNC_VIEWS is 'thread'"
    assert [route["own_loop"] for route in report["routes"]] == [True, True]


def test_the_application_is_not_in_debug_mode(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    project(
        shop="""
        from flask import Flask
        app = Flask("shop", static_folder=None)
        if app.debug:
            app.add_url_rule("/debug", "debug", print)
        """
    )
    assert json.loads(routes("shop", "--json").output)["routes"] == []


def test_a_file_of_variables_is_read_first(project: Project) -> None:
    folder = project(shop=SHOP.replace('"/wait"', 'f"/{app.name}"'))
    (folder / ".env").write_text("SHOP_NAME=corner\n")
    assert "/corner" in routes("shop", "--env-file", ".env").output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nowhere"], "there is no module 'nowhere'"),
        (["--jso"], "No such option"),
        (["--env-file", "nowhere"], "env_file = 'nowhere': there is no such file"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_2(project: Project, args: list[str], message: str) -> None:
    project()
    result = routes(*args)
    assert result.exit_code == 2
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    assert message in line


def test_the_help_page_names_the_members_of_the_json(project: Project) -> None:
    project(shop=SHOP)
    names: set[str] = set()
    report = json.loads(routes("shop", "--json").output)
    for record in (report, report["routes"][0], report["hooks"][0]):
        names |= record.keys()
    words = set(re.findall(r"\w+", routes("--help").output.partition("JSON object has")[2]))
    assert names - words == set()
