# SPDX-License-Identifier: MIT
from typing import Any

from ashapp.server.settings import Settings
from tests.manifests.objects import Object, Objects


def policy(objects: Objects) -> Object:
    spec: Object = objects.one("NetworkPolicy", "ashapp-backend")["spec"]
    return spec


def ports(rules: list[Any]) -> list[list[Any]]:
    return [[port["port"] for port in rule["ports"]] for rule in rules]


def test_the_ports_are_those_of_the_settings(objects: Objects, settings: Settings) -> None:
    named = {port["name"]: port["containerPort"] for port in objects.container["ports"]}
    assert named == {"http": settings.port, "management": settings.management_port}


def test_the_service_has_requests_and_no_management(objects: Objects) -> None:
    (port,) = objects.one("Service")["spec"]["ports"]
    assert port["targetPort"] == "http"


def test_everything_is_denied_that_is_not_allowed(objects: Objects) -> None:
    spec = objects.one("NetworkPolicy", "default-deny")["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policy(objects)["policyTypes"] == ["Ingress", "Egress"]


def test_metrics_are_for_the_monitoring_alone(objects: Objects) -> None:
    requests, metrics = policy(objects)["ingress"]
    assert ports([requests, metrics]) == [["http"], ["management"]]
    assert requests["from"] == [{"namespaceSelector": {}}]
    (source,) = metrics["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}


def test_it_may_ask_for_names_and_nothing_else(objects: Objects) -> None:
    assert ports(policy(objects)["egress"]) == [[53, 53]]
