# SPDX-License-Identifier: MIT
"""The chart in a cluster, by ``helm``, as an operator would."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cluster.cluster import NAMESPACE, Cluster, ClusterError
from tests.manifests.render import MANIFESTS

__all__ = ["Charted"]

#: Kubernetes before this version gets manifests that are adapted to it.
_CURRENT = 30
_ROOT = MANIFESTS.parent

#: For one small node, whose load comes from outside the cluster. The test scales by itself.
_VALUES: dict[str, Any] = {
    "replicas": 3,
    "autoscaling": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "resources": {"requests": {"cpu": "100m"}},
    "service": {"type": "NodePort"},
}


class Charted(Cluster):
    """Deploys the chart, as a release whose objects have the name of the deployment."""

    def deploy(self, tag: str) -> subprocess.CompletedProcess[str]:
        """Deploy an image, and go back to what was there where it does not get ready."""
        return self.upgrade(tag)

    def upgrade(self, tag: str, **values: Any) -> subprocess.CompletedProcess[str]:
        """Deploy an image with *values* of the chart beside those of the tests."""
        repository, _, version = tag.partition(":")
        image = {"repository": repository, "tag": version, "pullPolicy": "Never"}
        file = self.folder / f"{self.name}.json"
        file.write_text(json.dumps({**_VALUES, "image": image, **values}))
        return self.helm(
            *("upgrade", self.name, str(self._chart()), "--install", "--values", str(file)),
            *("--atomic", "--timeout", "120s", *self._renderer()),
        )

    def helm(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``helm``, whatever comes of it."""
        command = shutil.which("helm")
        if command is None:
            raise ClusterError("helm is not on the PATH: `tox -e cluster` brings one")
        return self.run(command, "--namespace", NAMESPACE, *arguments, timeout=600)

    def _chart(self) -> Path:
        """Return the chart, as one that an older cluster is allowed."""
        chart = self.folder / "chart"
        shutil.copytree(MANIFESTS / "chart", chart, dirs_exist_ok=True)
        if self.minor < _CURRENT:
            file = chart / "Chart.yaml"
            file.write_text(re.sub(r"(?m)^kubeVersion:.*\n", "", file.read_text()))
        return chart

    def _renderer(self) -> list[str]:
        if self.minor >= _CURRENT:
            return []
        script = self.folder / "older"
        adapt = f"{sys.executable} -m tests.cluster.older {self.minor}"
        script.write_text(f"#!/bin/sh\ncd {_ROOT} && exec {adapt}\n")
        script.chmod(0o755)
        return ["--post-renderer", str(script)]
