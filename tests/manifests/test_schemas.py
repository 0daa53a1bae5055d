# SPDX-License-Identifier: MIT
"""The objects against the schemas of Kubernetes itself, strictly: an unknown field is an error."""

import subprocess
import sys
from pathlib import Path

import pytest

# The oldest that runs the manifests (preStop "sleep" is on by default there), one between, and a new one.
VERSIONS = ("1.30", "1.34", "1.37")


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(rendered: str, version: str, tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered)
    command = (sys.executable, "-m", "kubernetes_validate", "--strict", "-k", version, str(file))
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    assert output.count(" passed for resource ") == rendered.count("\nkind: ")
