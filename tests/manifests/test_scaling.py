# SPDX-License-Identifier: MIT
from tests.manifests.objects import Objects


def test_a_rolling_update_never_has_fewer_pods_than_wanted(objects: Objects) -> None:
    deployment = objects.one("Deployment")["spec"]
    assert deployment["strategy"]["type"] == "RollingUpdate"
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert deployment["strategy"]["rollingUpdate"]["maxSurge"] >= 1
    assert deployment["minReadySeconds"] > 0


def test_the_autoscaler_alone_says_how_many_pods(objects: Objects) -> None:
    deployment = objects.one("Deployment")
    scaler = objects.one("HorizontalPodAutoscaler")
    assert scaler["spec"]["scaleTargetRef"] == {
        "apiVersion": deployment["apiVersion"],
        "kind": "Deployment",
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]
    assert 2 <= scaler["spec"]["minReplicas"] <= scaler["spec"]["maxReplicas"]


def test_it_grows_at_once_and_shrinks_with_patience(objects: Objects) -> None:
    behavior = objects.one("HorizontalPodAutoscaler")["spec"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_a_node_can_be_drained(objects: Objects) -> None:
    budget = objects.one("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert objects.one("HorizontalPodAutoscaler")["spec"]["minReplicas"] > budget["maxUnavailable"]


def test_pods_of_one_version_are_spread_over_zones_and_nodes(objects: Objects) -> None:
    spread = objects.pod["topologySpreadConstraints"]
    assert [item["topologyKey"] for item in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    assert all(item["matchLabelKeys"] == ["pod-template-hash"] for item in spread)
