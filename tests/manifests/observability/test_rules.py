# SPDX-License-Identifier: MIT
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.manifests.objects import Objects
from tests.manifests.observability.exported import FOREIGN, TARGET_LABELS
from tests.manifests.observability.expressions import asked
from tests.manifests.render import MANIFESTS, kustomize

FOLDER = MANIFESTS / "observability"
RULES = FOLDER / "rules.yaml"
UNIT_TESTS = Path(__file__).with_name("rules.test.yaml")
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}


def promtool(*arguments: str | Path) -> str:
    """Run promtool; where it is missing, skip on a developer's machine and fail in CI, which installs it."""
    command = shutil.which("promtool")
    if command is None:
        reason = (
            "promtool is not on the PATH: it checks and runs the alert rules, and is part of Prometheus "
            "(apt-get install prometheus, brew install prometheus)"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    result = subprocess.run(
        [command, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_prometheus_accepts_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", RULES)


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    assert "SUCCESS" in promtool("test", "rules", UNIT_TESTS)


def test_each_alert_is_seen_to_fire_and_not_to() -> None:
    checks = [
        check for test in yaml.safe_load(UNIT_TESTS.read_text())["tests"] for check in test["alert_rule_test"]
    ]
    assert {check["alertname"] for check in checks if check.get("exp_alerts")} == set(ALERTS)
    assert {check["alertname"] for check in checks if not check.get("exp_alerts")} == set(ALERTS)


def test_the_operator_gets_the_same_rules() -> None:
    rule = Objects.read(kustomize(FOLDER)).one("PrometheusRule")
    assert rule["spec"]["groups"] == GROUPS, "copy the groups of rules.yaml"


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_what_is_exported(alert: str, exported: dict[str, set[str]]) -> None:
    known = {**{name: labels | TARGET_LABELS | {"le"} for name, labels in exported.items()}, **FOREIGN}
    for name, labels in asked(ALERTS[alert]["expr"]).items():
        assert name in known
        assert labels <= known[name], name


@pytest.mark.parametrize("rule", ALERTS.values(), ids=ALERTS)
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert rule["annotations"]["summary"].endswith(".")
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "https://github.com/ashwanth01/ashapp-backend/blob/main/docs/runbook.md"
    assert anchor == rule["alert"].lower()


def test_the_runbook_tells_of_each_alert_what_it_means_where_to_look_and_what_to_do() -> None:
    page = (MANIFESTS.parent / "docs" / "runbook.md").read_text(encoding="utf-8")
    _, beginning, *sections = page.split("\n## ")
    assert beginning.startswith("Where to begin\n")
    assert [section.splitlines()[0] for section in sections] == list(ALERTS)
    told = [re.findall(r"^\*\*(\w+)\*\*: ", section, re.MULTILINE) for section in sections]
    assert told == [["Meaning", "Look", "Do"]] * len(ALERTS)
    assert set(re.findall(r"\(#(ashapp\w+)\)", page)) <= {alert.lower() for alert in ALERTS}


def test_it_scrapes_the_management_port_of_each_pod(observability: Objects, objects: Objects) -> None:
    spec = observability.one("PodMonitor")["spec"]
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in objects.container["ports"]}
    assert endpoint["path"] == "/metrics"
    labels = objects.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= spec["selector"]["matchLabels"].items()
    assert spec["namespaceSelector"] == {"any": True}, "whatever namespace an overlay gives it"


def test_the_operator_of_kube_prometheus_stack_takes_what_has_its_label(observability: Objects) -> None:
    for kind in ("PodMonitor", "PrometheusRule"):
        assert observability.one(kind)["metadata"]["labels"]["release"] == "kube-prometheus-stack"


def test_it_comes_from_the_namespace_that_the_network_policy_lets_in(
    observability: Objects, objects: Objects
) -> None:
    (namespace,) = {item["metadata"]["namespace"] for item in observability}
    policy = objects.one("NetworkPolicy", "ashapp-backend")["spec"]
    (source,) = next(rule["from"] for rule in policy["ingress"] if rule["ports"][0]["port"] == "management")
    assert source["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
