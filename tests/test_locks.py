# SPDX-License-Identifier: MIT
"""The locks of the image: what pyproject.toml asks for, each at one version and by its hashes."""

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

ROOT = Path(__file__).parents[1]

_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
_PYLOCK = tomllib.loads((ROOT / "pylock.toml").read_text(encoding="utf-8"))
_PYTHONS = [
    name.rpartition(" ")[2]
    for name in _PYPROJECT["project"]["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", name)
]
_ENTRY = re.compile(r"([A-Za-z0-9._-]+)==(\S+)((?: ; [^\\]+)?)((?: --hash=sha256:[0-9a-f]{64})+)")

_AGAIN = (
    "requirements/{name}.txt does not satisfy pyproject.toml: {missing}. Lock again:\n"
    "uv pip compile {source} --universal --python-version 3.11 --generate-hashes --no-header "
    "-o requirements/{name}.txt"
)

LOCKS = {
    "image": (_PYPROJECT["project"]["dependencies"], "pyproject.toml"),
    "build": (_PYPROJECT["build-system"]["requires"], "--group build"),
    # Of what runs where an image is built that is published, or where credentials are.
    **{
        name: (_PYPROJECT["dependency-groups"][name], f"--group {name}")
        for name in ("container", "sbom", "tools")
    },
}


def entries(text: str) -> list[str]:
    """Return the requirements of a lock, each on one line, without comments."""
    joined = re.sub(r"\s*\\\n\s*", " ", text)
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def versions(text: str) -> dict[str, str]:
    """Return the locked version of each package."""
    matches = [_ENTRY.fullmatch(entry) for entry in entries(text)]
    return {canonicalize_name(match[1]): match[2] for match in matches if match}


def missing(requirements: list[str], locked: dict[str, str]) -> list[str]:
    """Return the requirements that a lock does not satisfy."""

    def satisfied(requirement: Requirement) -> bool:
        version = locked.get(canonicalize_name(requirement.name))
        return version is not None and requirement.specifier.contains(version, prereleases=True)

    return [str(each) for each in map(Requirement, requirements) if not satisfied(each)]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_satisfies_the_project(name: str) -> None:
    requirements, source = LOCKS[name]
    locked = versions((ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8"))
    unsatisfied = missing(requirements, locked)
    assert not unsatisfied, _AGAIN.format(name=name, source=source, missing=", ".join(unsatisfied))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_version_and_hashes_for_each_package_and_no_source(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    assert [entry for entry in entries(text) if not _ENTRY.fullmatch(entry)] == []
    assert "://" not in text


def test_pylock_has_the_versions_and_the_hashes_of_the_image() -> None:
    text = (ROOT / "requirements" / "image.txt").read_text(encoding="utf-8")
    assert _PYLOCK["requires-python"] == _PYPROJECT["project"]["requires-python"]
    assert {each["name"]: each["version"] for each in _PYLOCK["packages"]} == versions(text), (
        "pylock.toml has other versions than requirements/image.txt. Lock again:\n"
        "uv pip compile pyproject.toml --universal --python-version 3.11 --no-header "
        "--constraints requirements/image.txt --format pylock.toml -o pylock.toml"
    )
    for each in _PYLOCK["packages"]:
        for file in [*each["wheels"], each["sdist"]]:
            assert f"--hash=sha256:{file['hashes']['sha256']}" in text
            assert file["url"].startswith("https://")


@pytest.mark.parametrize("python", _PYTHONS)
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_image_can_be_built_on_each_python(python: str, machine: str) -> None:
    """It takes no sources, and has no compiler. A version older than a Python may have no wheel."""
    version = tuple(map(int, python.split(".")))
    platforms = [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(36, 4, -1)),
        f"manylinux2014_{machine}",
    ]
    supported = {*cpython_tags(version, platforms=platforms), *compatible_tags(version, platforms=platforms)}
    lacking = [
        each["name"]
        for each in _PYLOCK["packages"]
        if _is_for_linux(each, python) and supported.isdisjoint(_tags(each))
    ]
    assert not lacking, f"Lock newer versions: --upgrade-package {' --upgrade-package '.join(lacking)}"


def _is_for_linux(package: dict[str, Any], python: str) -> bool:
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    marker = package.get("marker")
    return marker is None or Marker(marker).evaluate({**here, "os_name": "posix", "platform_system": "Linux"})


def _tags(package: dict[str, Any]) -> set[Tag]:
    names = (file["url"].rpartition("/")[2] for file in package["wheels"])
    return {tag for name in names for tag in parse_wheel_filename(unquote(name))[3]}


def test_the_group_that_is_locked_is_what_builds_the_project() -> None:
    assert _PYPROJECT["dependency-groups"]["build"] == _PYPROJECT["build-system"]["requires"]


def test_the_lowest_versions_that_are_tested_are_those_of_the_project() -> None:
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini")
    pinned = {
        canonicalize_name(name): version for name, version in _pins(tox["testenv:lowest"]["commands_pre"])
    }
    for each in map(Requirement, _PYPROJECT["project"]["dependencies"]):
        (lowest,) = [part.version for part in each.specifier if part.operator == ">="]
        tested = Version(pinned[canonicalize_name(each.name)]).release
        assert tested[: lowest.count(".") + 1] == Version(lowest).release


def _pins(command: str) -> list[list[str]]:
    return [word.split("==") for word in command.split() if "==" in word]
