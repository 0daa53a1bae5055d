# SPDX-License-Identifier: MIT
"""Manifests for a cluster that is older than they are made for.

`adapted` leaves out, or says in another way, what a version does not know. A rollout does to requests what it
did before: a ``preStop`` is of the same length in either form. ``python -m tests.cluster.older MINOR`` does
it from standard input to standard output, as Helm asks for it.
"""

import sys
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["adapted"]


def adapted(manifests: str, minor: int) -> str:
    """Return the manifests as Kubernetes 1.*minor* understands them."""
    return yaml.safe_dump_all([_adapted(item, minor) for item in yaml.safe_load_all(manifests)])


def _adapted(item: dict[str, Any], minor: int) -> dict[str, Any]:
    if item["kind"] == "PodDisruptionBudget":
        if minor < 21:
            item["apiVersion"] = "policy/v1beta1"
        if minor < 27:
            del item["spec"]["unhealthyPodEvictionPolicy"]
    if item["kind"] == "Deployment":
        pod = item["spec"]["template"]["spec"]
        if minor < 27:
            for constraint in pod["topologySpreadConstraints"]:
                del constraint["matchLabelKeys"]
        if minor < 30:
            for hooks in _pre_stops(pod):
                seconds = hooks.pop("sleep")["seconds"]
                hooks["exec"] = {"command": ["sleep", str(seconds)]}
    return item


def _pre_stops(pod: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for container in pod["containers"]:
        yield container["lifecycle"]["preStop"]


if __name__ == "__main__":
    sys.stdout.write(adapted(sys.stdin.read(), int(sys.argv[1])))
