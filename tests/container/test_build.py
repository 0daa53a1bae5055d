# SPDX-License-Identifier: MIT
"""How the image follows from what it is built of."""

import shutil
from pathlib import Path

from tests.container.conftest import ROOT
from tests.container.engine import built, inspect

# What the Dockerfile and its build read.
CONTEXT = ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml", "backend", "requirements")


def test_the_same_inputs_give_the_same_layers(tmp_path: Path) -> None:
    for name in CONTEXT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, tmp_path / name)
    # Neither do secrets that lie around get into the image, nor what was compiled elsewhere.
    for name in (".env", "id_rsa", "backend/.netrc", "backend/ashapp/.env", "backend/ashapp/odd.pyc"):
        (tmp_path / name).write_text("PASSWORD=plum")
    with built(ROOT) as first, built(tmp_path, "--no-cache") as second:
        assert inspect("image", first)["RootFS"] == inspect("image", second)["RootFS"]


def test_labels_come_from_build_arguments() -> None:
    given = {"version": "1.2.3", "revision": "4567def", "created": "2020-01-02T03:04:05Z", "source": "git"}
    with built(ROOT, *(f"--build-arg={name.upper()}={value}" for name, value in given.items())) as tag:
        labels = inspect("image", tag)["Config"]["Labels"]
    assert {name: labels[f"org.opencontainers.image.{name}"] for name in given} == given
