# SPDX-License-Identifier: MIT
"""A real cluster, and what the tests do to it by ``kubectl``, as an operator would.

It is the one that ``KUBECONFIG`` names, and its node runs images of the local Docker engine, as the nodes of
Docker Desktop and minikube do. The Service is reached by its node port.
"""

import json
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.cluster.older import adapted
from tests.manifests.render import IMAGE, MANIFESTS, kustomize
from tests.support.client import Address

__all__ = ["NAMESPACE", "Cluster", "ClusterError", "Kustomized", "succeeded"]

NAMESPACE = "ashapp-cluster-test"
#: Whom the pipeline is in the namespace: who deploys by its scripts.
DEPLOYER = f"system:serviceaccount:{NAMESPACE}:ashapp-deployer"
OVERLAY = Path(__file__).parent / "overlay"
ACCOUNT = Path(__file__).parent / "deployer"
SCRIPTS = MANIFESTS.parent / ".github" / "scripts"

_MISSING = (
    "KUBECONFIG is not set. The cluster tests deploy to a cluster: set it to the file of one with a "
    "single node, which runs images of the local Docker engine (Docker Desktop, minikube)."
)


class ClusterError(Exception):
    """There is no cluster, or ``kubectl`` has failed."""


def succeeded(result: subprocess.CompletedProcess[str]) -> None:
    """Require that a command has succeeded, or show what it has printed."""
    assert result.returncode == 0, result.stdout + result.stderr


class Cluster(ABC):
    """A deployment called *name* in the namespace of the tests; *folder* is for what is written for it."""

    def __init__(self, folder: Path, name: str = "ashapp-backend") -> None:
        if not os.environ.get("KUBECONFIG"):
            raise ClusterError(_MISSING)
        self.folder = folder
        self.name = name
        self._deployment = f"deployment/{name}"
        self.minor = int(self.json("version")["serverVersion"]["minor"].rstrip("+"))

    @abstractmethod
    def deploy(self, tag: str) -> subprocess.CompletedProcess[str]:
        """Deploy an image, and undo what fails."""

    def prepare(self) -> None:
        """Make the namespace, and in it the account of the pipeline, as an administrator does."""
        self.kubectl("apply", "--filename", str(OVERLAY / "namespace.yaml"))
        self.kubectl("apply", "--kustomize", str(ACCOUNT))

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

    def run(
        self, *command: str, timeout: float, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        # A tox that runs in a tox would share its folders.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TOX_")}
        return subprocess.run(
            command,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def rollout_status(self) -> None:
        """Wait until as many pods as there should be are ready."""
        self.kubectl("rollout", "status", self._deployment, "--timeout=300s", timeout=320)

    def scale(self, replicas: int) -> None:
        """Set the number of pods, and wait until they are there."""
        self.kubectl("scale", self._deployment, f"--replicas={replicas}")
        self.rollout_status()

    def pods(self) -> dict[str, str]:
        """Return the image of each pod that is not being deleted, by its name."""
        return {
            item["metadata"]["name"]: item["spec"]["containers"][0]["image"]
            for item in self._pods_that_stay()
        }

    def restarts(self) -> dict[str, int]:
        """Return how often the container of each such pod was restarted."""
        return {
            item["metadata"]["name"]: item["status"]["containerStatuses"][0]["restartCount"]
            for item in self._pods_that_stay()
        }

    def _pods_that_stay(self) -> list[Any]:
        items = self.json("get", "pods", "--selector", f"app.kubernetes.io/name={self.name}")["items"]
        return [item for item in items if "deletionTimestamp" not in item["metadata"]]

    def ready(self) -> int:
        """Return how many pods are ready."""
        status = self.json("get", self._deployment)["status"]
        return int(status.get("readyReplicas", 0))

    @property
    def address(self) -> Address:
        """Where the Service is reached: ``ASHAPP_CLUSTER_HOST``, or this machine, and its node port."""
        (port,) = self.json("get", f"service/{self.name}")["spec"]["ports"]
        return os.environ.get("ASHAPP_CLUSTER_HOST", "127.0.0.1"), port["nodePort"]

    def remove(self) -> None:
        """Delete the namespace and all that is in it."""
        self.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout=300)


class Kustomized(Cluster):
    """Deploys the base by the pipeline's own script, with no more rights than the pipeline has."""

    def deploy(self, tag: str, *, smoke: bool = False) -> subprocess.CompletedProcess[str]:
        """Deploy an image as the pipeline does, with its *smoke* test or not, and undo what fails."""
        manifests = adapted(kustomize(OVERLAY), self.minor).replace(f"image: {IMAGE}", f"image: {tag}")
        file = self.folder / "manifests.yaml"
        file.write_text(manifests)
        command = [str(SCRIPTS / "smoke"), NAMESPACE] if smoke else []
        return self.run(
            str(SCRIPTS / "deploy"),
            NAMESPACE,
            str(file),
            *command,
            timeout=600,
            environment={"KUBECONFIG": str(self.access)},
        )

    def may(self, verb: str, resource: str, namespace: str = NAMESPACE) -> bool:
        """Tell whether the account of the pipeline may do that."""
        question = ("auth", "can-i", verb, resource, f"--as={DEPLOYER}")
        answer = self.run("kubectl", "--namespace", namespace, *question, timeout=60).stdout.strip()
        if answer not in {"yes", "no"}:
            raise ClusterError(f"kubectl auth can-i {verb} {resource}: {answer!r}")
        return answer == "yes"

    @cached_property
    def access(self) -> Path:
        """A kubeconfig file for the account of the pipeline."""
        config = self.json("config", "view", "--raw", "--flatten", "--minify")
        config["users"][0]["user"]["as"] = DEPLOYER
        file = self.folder / "deployer.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        return file
