# SPDX-License-Identifier: MIT
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete, get_completion_class

from ashapp.server.cli import main
from tests.support.process import run

Project = Callable[..., Path]


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ro"], ["routes"]),
        (["check", ""], ["ready", "live", "http"]),
        (["serve", "--log-level", "d"], ["debug"]),
        (["serve", "--loop", "uv"], ["uvloop"]),
        (["serve", "--lifespan", "o"], ["on", "off"]),
        (["shop:app", "--thread-l"], ["--thread-locals"]),
        (["rotues", "--thread-l"], ["--thread-locals"]),
        (["serve", "--ssl-keyfile", "x"], ["file x"]),
        (["serve", "--reload-dir", "x"], ["file x"]),
        (["routes", "s"], ["shop:create_app", "site.wsgi:application"]),
        (["serve", "z"], ["file z"]),
        (["s"], ["scale", "serve", "stacks", "status", "shop:create_app", "site.wsgi:application"]),
        (["app:"], ["app:x"]),
        (["check", "r"], ["ready"]),
        (["check", "ready", "--t"], ["--timeout"]),
    ],
)
def test_a_shell_completes_commands_choices_and_applications(
    project: Project, words: list[str], offered: list[str]
) -> None:
    folder = project(site__wsgi="application = 1", app="x = flask.Flask('x')")
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").write_text("def create_app(): ...")
    complete = ShellComplete(main.main, {}, "ashapp", "_ASHAPP_COMPLETE")
    items = complete.get_completions(words[:-1], words[-1])
    assert [item.value if item.type == "plain" else f"{item.type} {item.value}" for item in items] == offered


@pytest.mark.parametrize(
    ("words", "current", "offered"),
    [
        (["serve", "s"], 2, "plain,shop:create_app"),
        (["serve", "shop", ":"], 3, "plain,create_app"),
        (["serve", "shop", ":", "cr"], 4, "plain,create_app"),
        (["serve", "shop:cr"], 2, "plain,shop:create_app"),
        (["shop", ":", "cr"], 3, "plain,create_app"),
        (["shop", ":", "create_app", "--environment", "=", "p"], 6, "plain,production"),
        (["shop", ":", "create_app", "--log-level", "d"], 5, "plain,debug"),
        (["shop", ":", "create_app", "--log-level"], 5, "plain,critical"),
    ],
)
def test_bash_takes_words_apart(
    project: Project, monkeypatch: pytest.MonkeyPatch, words: list[str], current: int, offered: str
) -> None:
    project(shop="def create_app(): ...")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["ashapp", *words]))
    monkeypatch.setenv("COMP_CWORD", str(current))
    kind = get_completion_class("bash")
    assert kind is not None
    assert kind(main.main, {}, "ashapp", "_ASHAPP_COMPLETE").complete().splitlines()[0] == offered


# Scripts that ask what each shell would complete, and print it.
SHELLS = {
    "bash": """
        eval "$(_ASHAPP_COMPLETE=bash_source ashapp)"
        COMP_WORDS=(ashapp serve shop : c) COMP_CWORD=4
        compopt() { :; }
        _ashapp_completion ashapp
        echo "${COMPREPLY[@]}"
    """,
    "zsh": """
        compdef() { :; }
        eval "$(_ASHAPP_COMPLETE=zsh_source ashapp)"
        compadd() { print -- "${(@P)@[-1]}"; }
        words=(ashapp serve shop:c) CURRENT=3
        _ashapp_completion
    """,
    "fish": "_ASHAPP_COMPLETE=fish_source ashapp | source; complete -C 'ashapp serve shop:c'",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_completes_an_application(project: Project, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    folder = project(shop="def create_app(): ...")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = run(["-c", SHELLS[shell]], command=[shell], cwd=folder, env={"PATH": path})
    assert (ended.stdout.strip(), ended.stderr) == (
        "create_app" if shell == "bash" else "shop:create_app",
        "",
    )
