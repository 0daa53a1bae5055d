# SPDX-License-Identifier: MIT
"""A real cluster, and what the tests do to it by ``kubectl``, as an operator would.

It is the one that ``KUBECONFIG`` names, and its node runs images of the local Docker engine, as the nodes of
Docker Desktop and minikube do. The Service is reached by its node port.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.cluster.older import adapted
from tests.manifests.render import IMAGE, MANIFESTS, kustomize
from tests.support.client import Address

__all__ = ["NAMESPACE", "Cluster", "ClusterError"]

NAMESPACE = "ashapp-cluster-test"
OVERLAY = Path(__file__).parent / "overlay"
SCRIPTS = MANIFESTS.parent / ".github" / "scripts"

_DEPLOYMENT = "deployment/ashapp-backend"
_MISSING = (
    "KUBECONFIG is not set. The cluster tests deploy to a cluster: set it to the file of one with a "
    "single node, which runs images of the local Docker engine (Docker Desktop, minikube)."
)


class ClusterError(Exception):
    """There is no cluster, or ``kubectl`` has failed."""


class Cluster:
    """The namespace of the tests in a cluster; *folder* is for the manifests that are applied."""

    def __init__(self, folder: Path) -> None:
        if not os.environ.get("KUBECONFIG"):
            raise ClusterError(_MISSING)
        self._folder = folder
        self._minor = int(self.json("version")["serverVersion"]["minor"].rstrip("+"))

    def kubectl(self, *arguments: str, timeout: float = 120) -> str:
        """Return what ``kubectl`` prints about the namespace.

        Raises `ClusterError` where it fails.
        """
        result = self.run("kubectl", "--namespace", NAMESPACE, *arguments, timeout=timeout)
        if result.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {result.stderr}")
        return result.stdout

    def json(self, *arguments: str) -> Any:
        """Return the JSON that ``kubectl`` prints."""
        return json.loads(self.kubectl(*arguments, "--output", "json"))

    def run(self, *command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        return subprocess.run(
            command,
            # A tox that runs in a tox would share its folders.
            env={name: value for name, value in os.environ.items() if not name.startswith("TOX_")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def deploy(self, tag: str, *, smoke: bool = False) -> subprocess.CompletedProcess[str]:
        """Deploy an image as the pipeline does, with its *smoke* test or not, and undo what fails."""
        manifests = adapted(kustomize(OVERLAY), self._minor).replace(f"image: {IMAGE}", f"image: {tag}")
        file = self._folder / "manifests.yaml"
        file.write_text(manifests)
        command = [str(SCRIPTS / "smoke"), NAMESPACE] if smoke else []
        return self.run(str(SCRIPTS / "deploy"), NAMESPACE, str(file), *command, timeout=600)

    def rollout_status(self) -> None:
        """Wait until as many pods as there should be are ready."""
        self.kubectl("rollout", "status", _DEPLOYMENT, "--timeout=300s", timeout=320)

    def scale(self, replicas: int) -> None:
        """Set the number of pods, and wait until they are there."""
        self.kubectl("scale", _DEPLOYMENT, f"--replicas={replicas}")
        self.rollout_status()

    def pods(self) -> dict[str, str]:
        """Return the image of each pod that is not being deleted, by its name."""
        items = self.json("get", "pods", "--selector", "app.kubernetes.io/name=ashapp-backend")["items"]
        return {
            item["metadata"]["name"]: item["spec"]["containers"][0]["image"]
            for item in items
            if "deletionTimestamp" not in item["metadata"]
        }

    def ready(self) -> int:
        """Return how many pods are ready."""
        status = self.json("get", _DEPLOYMENT)["status"]
        return int(status.get("readyReplicas", 0))

    @property
    def address(self) -> Address:
        """Where the Service is reached: ``ASHAPP_CLUSTER_HOST``, or this machine, and its node port."""
        (port,) = self.json("get", "service/ashapp-backend")["spec"]["ports"]
        return os.environ.get("ASHAPP_CLUSTER_HOST", "127.0.0.1"), port["nodePort"]

    def remove(self) -> None:
        """Delete the namespace and all that is in it."""
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=300)
