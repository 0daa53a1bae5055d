# SPDX-License-Identifier: MIT
"""The workflows, and runs of them by ``act`` on this machine, without containers around the jobs.

What only GitHub can do (artifacts, signatures, its Pythons) is done by the actions of the folder ``actions``,
which stand in for those of the same name. ``actions/checkout`` is act's own: it copies the repository.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.checkout import ROOT, Checkout
from tests.pipeline.commands import Commands

__all__ = ["PIPELINE", "RELEASE", "Run", "act", "uses"]

PIPELINE = ".github/workflows/pipeline.yml"
RELEASE = ".github/workflows/release.yml"

_ACTIONS = Path(__file__).parent / "actions"
_RUNNERS = ("ubuntu-latest", "ubuntu-24.04", "ubuntu-24.04-arm")
_DEPLOY = ".github/actions/deploy/action.yml"
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MISSING = "act is not on the PATH. It runs the pipeline: `tox -e pipeline` brings it."


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    code: int
    output: str

    @property
    def is_green(self) -> bool:
        return self.code == 0

    def failed_steps(self) -> list[str]:
        """Return the names of the steps that failed."""
        return re.findall(r"Failure - Main (.+?)(?: \[[^\]]*\])?$", self.output, re.MULTILINE)


def uses(node: Any) -> Iterator[str]:
    """Yield each action that a workflow or an action uses."""
    if isinstance(node, list):
        for item in node:
            yield from uses(item)
    elif isinstance(node, dict):
        if isinstance(node.get("uses"), str):
            yield node["uses"]
        for item in node.values():
            yield from uses(item)


def act(
    checkout: Checkout,
    event: str,
    *options: str,
    workflow: str = PIPELINE,
    commands: Commands | None = None,
    timeout: float = 900,
) -> Run:
    """Run a *workflow* of *checkout* for an *event*; *options* are act's.

    With *commands* it is a rehearsal: the jobs call these instead of the real ones.
    """
    command = shutil.which("act")
    assert command is not None, _MISSING
    result = subprocess.run(
        [
            command,
            event,
            *("--workflows", workflow),
            *(f"--platform={runner}=-self-hosted" for runner in _RUNNERS),
            "--no-cache-server",
            "--action-offline-mode",
            *_stand_ins(workflow, {"setup-python": "nothing"} if commands else {}),
            *options,
        ],
        cwd=checkout.path,
        env={
            # A tox that runs in a tox would share its folders.
            **{name: value for name, value in os.environ.items() if not name.startswith("TOX_")},
            "XDG_CACHE_HOME": str(checkout.path.parent / "cache"),
            **(commands.environment if commands else {}),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Run(result.returncode, _COLOURS.sub("", result.stdout))


def _stand_ins(workflow: str, others: Mapping[str, str]) -> Iterator[str]:
    used = {
        action for file in (workflow, _DEPLOY) for action in uses(yaml.safe_load((ROOT / file).read_text()))
    }
    for action in sorted(used):
        if not action.startswith(("actions/checkout@", "./")):
            name = Path(action.partition("@")[0]).name
            yield "--local-repository"
            yield f"{action}={_ACTIONS / others.get(name, name)}"
