# SPDX-License-Identifier: MIT
"""More and fewer pods, and a node that is drained, under load."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.cluster import Cluster, ClusterError
from tests.cluster.traffic import traffic


@contextmanager
def schedulable_again(cluster: Cluster, node: str) -> Iterator[None]:
    try:
        yield
    finally:
        cluster.kubectl("uncordon", node)


def test_scaling_loses_no_request(cluster: Cluster) -> None:
    with traffic(cluster, "scaling from 3 to 5 pods, to 1 and to 3") as clients:
        for replicas in (5, 1, 3):
            cluster.scale(replicas)
            clients.goes_on(clients.answered + 2000)
        assert len(cluster.pods()) == 3
    assert clients.failures == []


def test_draining_the_node_stops_at_the_disruption_budget_and_loses_no_request(cluster: Cluster) -> None:
    (node, *_) = {item["spec"]["nodeName"] for item in cluster.json("get", "pods")["items"]}
    before = set(cluster.pods())
    with traffic(cluster, "draining a node") as clients, schedulable_again(cluster, node):
        # There is no other node: what is evicted can't come back, so the budget allows one eviction.
        with pytest.raises(ClusterError, match="disruption budget"):
            cluster.kubectl(
                "drain",
                node,
                "--pod-selector=app.kubernetes.io/name=ashapp-backend",
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--timeout=30s",
            )
        assert cluster.ready() == 2
        assert len(before & set(cluster.pods())) == 2
        clients.goes_on(clients.answered + 1000)
    cluster.rollout_status()
    assert clients.failures == []
    assert len(cluster.pods()) == 3
