# SPDX-License-Identifier: MIT
"""The chart: with its default values the objects of the kustomize base, with others what they say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.objects import Objects
from tests.manifests.render import MANIFESTS, component, kustomize
from tests.manifests.test_guide import files

CHART = MANIFESTS / "chart"
HELM = Path(sys.executable).with_name("helm")

#: What Helm notes on each object, and kustomize does not.
NOTED = {"app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart"}

ROUTE = {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["shop.example"]}
INGRESS = {"enabled": True, "className": "nginx", "hosts": ["shop.example"]}
EVERYTHING: dict[str, Any] = {
    "app": "shop:create_app()",
    "faults": True,
    "env": [{"name": "DATABASE_URL", "value": "postgres://db"}],
    "envFrom": [{"secretRef": {"name": "shop"}}],
    "image": {"repository": "example/shop", "tag": "3", "pullSecrets": [{"name": "pull"}]},
    "autoscaling": {"enabled": False},
    "service": {"trafficDistribution": "PreferClose", "annotations": {"a": "b"}},
    "serviceAccount": {"annotations": {"role": "shop"}},
    "ingress": INGRESS,
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "shop"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "volumes": [{"name": "data", "emptyDir": {}}],
    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    "networkPolicy": {"egress": [{"ports": [{"protocol": "TCP", "port": 5432}]}]},
}


def helm(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    command = [str(HELM), *arguments, "--values", "-"]
    text = json.dumps(values or {})
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def template(values: dict[str, Any] | None = None, release: str = "ashapp-backend") -> str:
    result = helm("template", release, str(CHART), values=values)
    assert result.returncode == 0, result.stderr
    return result.stdout


def plain(objects: Objects) -> dict[str, Any]:
    """Return the objects by kind and name, without notes, and without the hash in the ConfigMap's name."""
    (settings,) = objects.of("ConfigMap")
    text = json.dumps(list(objects)).replace(json.dumps(settings["metadata"]["name"]), '"ashapp-backend"')
    found = json.loads(text)
    for each in found:
        labels = each["metadata"].get("labels", {})
        each["metadata"]["labels"] = {name: labels[name] for name in labels.keys() - NOTED}
        if each["kind"] == "ConfigMap":
            each["metadata"]["labels"] = {}
        if each["kind"] == "Deployment":
            annotations = each["spec"]["template"]["metadata"].pop("annotations", {})
            assert annotations.keys() <= {"checksum/settings"}
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in found}


def test_lint_has_nothing_to_say() -> None:
    result = helm("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_default_values_give_the_objects_of_the_base() -> None:
    assert plain(Objects.read(template())) == plain(Objects.read(kustomize(MANIFESTS / "base")))


def test_every_object_is_valid_whatever_is_switched_on(tmp_path: Path) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(template(EVERYTHING, "shop"))
    command = (sys.executable, "-m", "kubernetes_validate", "--strict", "-k", "1.37", str(file))
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    objects = Objects.read(file.read_text())
    assert {each["metadata"]["name"] for each in objects} == {"shop", "default-deny"}
    assert objects.container["image"] == "example/shop:3"
    settings = objects.one("ConfigMap")["data"]
    assert (settings["ASHAPP_APP"], settings["ASHAPP_FAULTS"]) == ("shop:create_app()", "true")
    assert objects.one("Deployment")["spec"]["replicas"] == 2
    assert objects.of("HorizontalPodAutoscaler") == []


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ({"httpRoute": ROUTE}, "HTTPRoute", {"request": "0s"}),
        ({"podMonitor": {"enabled": True, "labels": {"release": "prometheus"}}}, "PodMonitor", "prometheus"),
        ({"image": {"tag": "3", "digest": f"sha256:{'0' * 64}"}}, "Deployment", f"backend@sha256:{'0' * 64}"),
        ({"settings": {"ASHAPP_LIMIT_BODY": 16777216}}, "ConfigMap", 'ASHAPP_LIMIT_BODY": "16777216"'),
        ({"settings": {"ASHAPP_LOOP_GUARD": 0.1}}, "ConfigMap", 'ASHAPP_LOOP_GUARD": "0.1"'),
        ({"preStopSeconds": 10}, "ConfigMap", 'ASHAPP_TERMINATION_GRACE_PERIOD": "35"'),
        ({"secretKey": {"name": "shop", "optional": False}}, "Deployment", '"optional": false'),
    ],
)
def test_a_value_changes_what_it_says(values: dict[str, Any], kind: str, expected: Any) -> None:
    assert str(expected).replace("'", '"') in json.dumps(Objects.read(template(values)).one(kind))


def test_a_changed_setting_is_rolled_out() -> None:
    changed: list[dict[str, Any]] = [{}, {"settings": {"ASHAPP_THREADS": 8}}, {"app": "shop"}]
    pods = [Objects.read(template(each)).one("Deployment")["spec"]["template"] for each in changed]
    assert len({pod["metadata"]["annotations"]["checksum/settings"] for pod in pods}) == 3


def test_the_values_of_the_guide() -> None:
    ((_, text),) = files("With Helm")
    objects = Objects.read(template(yaml.safe_load(text), "shop"))
    assert objects.container["image"] == "registry.example.com/shop:1.0"
    assert objects.environment["ASHAPP_THREADS"] == "20"
    assert objects.environment["ASHAPP_DRAIN_DELAY"] == "5"
    assert objects.one("HTTPRoute")["spec"]["hostnames"] == ["shop.example.com"]
    assert len(objects.one("NetworkPolicy", "shop")["spec"]["egress"]) == 2


@pytest.mark.parametrize("name", ["podDisruptionBudget", "networkPolicy"])
def test_what_is_switched_off_is_left_out(name: str) -> None:
    objects = Objects.read(template({name: {"enabled": False}}))
    assert objects.of(name[0].upper() + name[1:]) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"autoscalling": {}}, "autoscalling"),
        ({"image": {"digest": "latest"}}, "image.digest"),
        ({"settings": {"threads": 4}}, "threads"),
        ({"httpRoute": {"enabled": True}}, "names no Gateway"),
        ({"ingress": {"enabled": True}}, "names no host"),
    ],
)
def test_a_wrong_value_is_told(values: dict[str, Any], message: str) -> None:
    result = helm("template", "shop", str(CHART), values=values)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize(("name", "kind"), [("http-route", "HTTPRoute"), ("ingress", "Ingress")])
def test_a_component_is_the_object_of_the_chart(name: str, kind: str) -> None:
    expected = plain(Objects.read(component(name)))[f"{kind}/ashapp-backend"]
    host = "ashapp.example.com"
    gateways = [{"name": "public", "namespace": "gateways"}]
    annotations = expected["metadata"].get("annotations", {})
    ingress = {"className": "nginx", "hosts": [host], "annotations": annotations}
    values: dict[str, dict[str, Any]] = {
        "HTTPRoute": {"httpRoute": {"enabled": True, "parentRefs": gateways, "hostnames": [host]}},
        "Ingress": {"ingress": {"enabled": True, **ingress}},
    }
    assert plain(Objects.read(template(values[kind])))[f"{kind}/ashapp-backend"] == expected


def test_each_value_is_described_by_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    properties = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert values.keys() == properties.keys() - {"global"}
    for name, value in values.items():
        if not properties[name].get("additionalProperties", True):
            assert value.keys() == properties[name]["properties"].keys(), name
