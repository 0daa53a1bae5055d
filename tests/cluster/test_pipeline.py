# SPDX-License-Identifier: MIT
"""What the pipeline does and may. Its smoke tests take a port-forward, for which older nodes need socat."""

import pytest

from tests.cluster import images
from tests.cluster.cluster import NAMESPACE, Kustomized, succeeded

pytestmark = pytest.mark.parametrize("fresh", [Kustomized], ids=["kustomize"], indirect=True)


def test_the_reference_api_is_deployed_and_kept(kustomized: Kustomized, base: str) -> None:
    result = kustomized.deploy(base, smoke=True)
    succeeded(result)
    assert " passed" in result.stdout
    assert set(kustomized.pods().values()) == {base}


def test_what_is_ready_but_fails_the_smoke_test_is_undone(kustomized: Kustomized, base: str) -> None:
    before = set(kustomized.pods().values())
    result = kustomized.deploy(images.generation(base, "something-else"), smoke=True)
    assert result.returncode != 0
    assert "successfully rolled out" in result.stdout
    assert "FAILED tests/container/black_box" in result.stdout
    kustomized.rollout_status()
    assert set(kustomized.pods().values()) == before


@pytest.mark.parametrize(
    ("verb", "resource", "namespace"),
    [
        ("get", "secrets", NAMESPACE),
        ("create", "pods/exec", NAMESPACE),
        ("delete", "deployments.apps", NAMESPACE),
        ("create", "pods", NAMESPACE),
        ("create", "rolebindings.rbac.authorization.k8s.io", NAMESPACE),
        ("create", "namespaces", NAMESPACE),
        ("patch", "namespaces", NAMESPACE),
        ("delete", "namespaces", NAMESPACE),
        ("patch", "deployments.apps", "default"),
        ("get", "namespaces", "default"),
        ("list", "pods", "kube-system"),
    ],
)
def test_it_may_do_no_more_than_deploy(fresh: Kustomized, verb: str, resource: str, namespace: str) -> None:
    assert fresh.may("patch", "deployments.apps")
    assert not fresh.may(verb, resource, namespace)
