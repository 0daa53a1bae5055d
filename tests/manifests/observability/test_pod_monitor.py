# SPDX-License-Identifier: MIT
from tests.manifests.objects import Objects


def test_it_scrapes_the_management_port_of_each_pod(observability: Objects, objects: Objects) -> None:
    spec = observability.one("PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in objects.container["ports"]}
    assert endpoint["path"] == "/metrics"
    labels = objects.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= spec["selector"]["matchLabels"].items()
    assert objects.one("Namespace")["metadata"]["name"] in spec["namespaceSelector"]["matchNames"]


def test_it_comes_from_the_namespace_that_the_network_policy_lets_in(
    observability: Objects, objects: Objects
) -> None:
    (namespace,) = {item["metadata"]["namespace"] for item in observability}
    policy = objects.one("NetworkPolicy", "ashapp-backend")["spec"]
    (source,) = next(rule["from"] for rule in policy["ingress"] if rule["ports"][0]["port"] == "management")
    assert source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
