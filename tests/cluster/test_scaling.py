# SPDX-License-Identifier: MIT
"""More and fewer pods, a node that is drained, and a pod that dies."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, RemoteDisconnected

import pytest

from tests.cluster.cluster import Cluster, ClusterError
from tests.cluster.traffic import traffic
from tests.support.waiting import until

#: Seconds until the Service sends nothing more to a container that is known to have ended.
NOTICE = 10


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


def test_a_pod_that_dies_is_restarted_and_the_others_serve(cluster: Cluster) -> None:
    before = cluster.restarts()
    with closing(HTTPConnection(*cluster.address, timeout=20)) as client:
        client.request("POST", "/crash")
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            client.getresponse()
    until(lambda: sum(cluster.restarts().values()) == sum(before.values()) + 1, 60)
    time.sleep(NOTICE)
    with traffic(cluster, "after the death of a pod") as clients:
        cluster.rollout_status()
        clients.goes_on(1000)
    assert clients.failures == []
    assert cluster.restarts().keys() == before.keys()
