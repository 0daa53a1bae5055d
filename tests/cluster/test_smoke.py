# SPDX-License-Identifier: MIT
"""A deployment that the container tests judge, through a port-forward (for which older nodes need socat)."""

from tests.cluster import images
from tests.cluster.cluster import Cluster


def test_the_reference_api_is_deployed_and_kept(cluster: Cluster, base: str) -> None:
    result = cluster.deploy(base, smoke=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout
    assert set(cluster.pods().values()) == {base}


def test_what_is_ready_but_fails_the_smoke_test_is_undone(cluster: Cluster, base: str) -> None:
    before = set(cluster.pods().values())
    result = cluster.deploy(images.generation(base, "something-else"), smoke=True)
    assert result.returncode != 0
    assert "successfully rolled out" in result.stdout
    assert "FAILED tests/container/black_box" in result.stdout
    cluster.rollout_status()
    assert set(cluster.pods().values()) == before
