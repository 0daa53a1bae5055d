# SPDX-License-Identifier: MIT
"""The guides of a deployment, against the manifests, the settings and the tools that they speak of."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ashapp.server.settings.model import ServerSettings, Settings
from ashapp.server.settings.sources.variables import variable
from tests.benchmarks.resources import Resources, recommend
from tests.manifests.objects import Objects
from tests.manifests.render import MANIFESTS, kustomize
from tests.manifests.test_schemas import VERSIONS, check
from tests.support.page import Page

ROOT = MANIFESTS.parent
PAGE = Page(ROOT / "docs" / "deploy.md")
OTHERS = [Page(ROOT / "docs" / name) for name in ("access.md", "runbook.md")]
TEXT = PAGE.path.read_text(encoding="utf-8")


def table(*header: str) -> dict[str, str]:
    """Return the rows of the table with this header, the first cell by the second."""
    lines = iter(TEXT.splitlines())
    for line in lines:
        if cells(line) == list(header):
            next(lines)
            return dict(row for row in _rows(lines))
    raise AssertionError(f"no table {header}")


def _rows(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if not line.startswith("|"):
            return
        first, second, *_ = cells(line)
        yield first, second


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def commands() -> list[list[str]]:
    """Return each command of the shell snippets, as its words."""
    lines = [
        line
        for page in (PAGE, *OTHERS)
        for section in page.sections.values()
        for block in section.of("sh")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    parts = [part.strip() for line in lines for part in re.split(r"\|\|", line)]
    return [shlex.split(part) for part in parts if part]


def files(title: str) -> Iterator[tuple[str, str]]:
    """Return the path that each YAML snippet of a section names in its first line, and the snippet."""
    for block in PAGE.sections[title].of("yaml"):
        yield block.splitlines()[0].removeprefix("# "), block


def write(title: str, folder: Path) -> None:
    shutil.copytree(MANIFESTS, folder / "manifests")
    for name, content in files(title):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)


def test_the_resources_are_those_recommended_by_the_figures(objects: Objects) -> None:
    measured = [float(value) for value in table("`ashapp serve`", "measured").values()]
    start, start_cpu, idle_cpu, idle_memory, milliseconds, loaded_cpu, loaded_memory = measured
    resources = Resources(
        start, start_cpu, idle_cpu, idle_memory, milliseconds / 1000, loaded_cpu, loaded_memory
    )
    assert list(table("`ashapp serve`", "measured")) == [name for name, _ in resources.rows()]
    recommended = table("container", "recommended")
    assert recommended == recommend(resources, workers=1)
    assert recommended == {
        f"{kind}.{name}": value
        for kind, values in objects.container["resources"].items()
        for name, value in values.items()
    }


def test_the_times_of_a_stop_are_those_of_the_manifests(objects: Objects, settings: Settings) -> None:
    given = {where.strip("`"): int(seconds) for seconds, where in _times()}
    assert given == {
        "preStop": objects.container["lifecycle"]["preStop"]["sleep"]["seconds"],
        "ASHAPP_DRAIN_DELAY": settings.drain_delay,
        "ASHAPP_TIMEOUT_GRACEFUL_SHUTDOWN": settings.timeout_graceful_shutdown,
        "ASHAPP_TIMEOUT_LIFESPAN_SHUTDOWN": settings.timeout_lifespan_shutdown,
        "terminationGracePeriodSeconds": objects.pod["terminationGracePeriodSeconds"],
    }
    assert f"{settings.termination_grace_period:.0f} seconds, after the `preStop`" in TEXT


def _times() -> list[tuple[str, str]]:
    return [(row[0], row[2]) for row in map(cells, TEXT.splitlines()) if len(row) == 3 and row[0].isdigit()]


def test_every_variable_is_a_setting() -> None:
    texts = [page.path.read_text(encoding="utf-8") for page in (PAGE, *OTHERS)]
    named = set(re.findall(r"\bASHAPP_[A-Z_]+\b", "\n".join(texts)))
    assert len(named) > 5
    assert not {name.removesuffix("_FILE") for name in named} - {
        variable(name) for name in ServerSettings.fields
    }


def test_an_overlay_of_a_release_has_its_digest(tmp_path: Path) -> None:
    write("In a cluster", tmp_path)
    assert "@sha256:" in Objects.read(kustomize(tmp_path / "release")).container["image"]


def test_an_overlay_of_your_own_has_your_image_settings_and_policies(tmp_path: Path) -> None:
    write("Your own application", tmp_path)
    text = kustomize(tmp_path / "shop")
    check(text, VERSIONS[0], tmp_path)
    objects = Objects.read(text)
    assert objects.container["image"] == "registry.example.com/shop:1.0"
    assert objects.environment["ASHAPP_THREADS"] == "20"
    assert objects.environment["ASHAPP_DRAIN_DELAY"]
    policies = {item["metadata"]["name"] for item in objects.of("NetworkPolicy")}
    assert policies == {"ashapp-backend", "default-deny", "egress"}
    assert objects.one("Namespace")["metadata"]["name"] == "shop"
    named = {item["metadata"]["namespace"] for item in objects if item["kind"] != "Namespace"}
    assert named == {"shop"}


def test_every_path_of_a_command_is_there() -> None:
    paths = {word for command in commands() for word in command if word.startswith("manifests/")}
    assert paths >= {"manifests/overlays/staging", "manifests/observability"}
    assert all((ROOT / path).exists() for path in paths)


#: Commands that have commands.
NESTED = {"auth", "create", "rollout"}
KUBECTL = [command for command in commands() if command[0] == "kubectl"]


@pytest.mark.parametrize("command", KUBECTL, ids=" ".join)
def test_kubectl_knows_the_command_and_its_options(command: list[str]) -> None:
    words = iter(command[1:])
    for word in words:
        if word != "--namespace":
            break
        next(words)
    subcommand = [word, *words]
    options = {item.split("=")[0] for item in subcommand if item.startswith("--")}
    verbs = subcommand[: 3 if subcommand[:2] == ["create", "secret"] else 2 if word in NESTED else 1]
    result = subprocess.run(
        ["kubectl", *verbs, "--help"], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert f"kubectl {' '.join(verbs)}" in result.stdout
    assert not {option for option in options if f"{option}=" not in result.stdout}


def test_namespaces_are_those_of_the_overlays() -> None:
    named = {
        command[position + 1]
        for command in KUBECTL
        for position, word in enumerate(command)
        if word == "--namespace"
    }
    assert named == {"ashapp-staging", "ashapp-production", "shop"}
