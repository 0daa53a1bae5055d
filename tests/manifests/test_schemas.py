# SPDX-License-Identifier: MIT
"""The objects against the schemas of Kubernetes itself, strictly: an unknown field is an error."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests.render import MANIFESTS, kustomize

# The oldest that runs the manifests (preStop "sleep" is on by default there), one between, and a new one.
VERSIONS = ("1.30", "1.34", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(rendered: str, version: str, tmp_path: Path) -> None:
    check(rendered, version, tmp_path)


@pytest.mark.parametrize("folder", ["deployer/production", "deployer/staging", "load"])
def test_what_is_applied_beside_an_overlay_is_valid(folder: str, tmp_path: Path) -> None:
    check(kustomize(MANIFESTS / folder), VERSIONS[-1], tmp_path)


def check(rendered: str, version: str, tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered)
    command = (sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(file))
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert output.count(" passed for resource ") == rendered.count("\nkind: ")
