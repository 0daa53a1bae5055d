# SPDX-License-Identifier: MIT
"""The canary: the Deployment in steps, and an analysis that asks for what its pods export."""

import re
from typing import Any

import pytest

from tests.manifests.objects import Objects
from tests.manifests.observability.exported import TARGET_LABELS
from tests.manifests.observability.expressions import asked
from tests.manifests.render import component


@pytest.fixture(scope="module")
def canary() -> Objects:
    return Objects.read(component("canary"))


def test_the_canary_is_the_deployment_in_steps(canary: Objects) -> None:
    deployment, rollout = canary.one("Deployment"), canary.one("Rollout")
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert rollout["spec"]["workloadRef"] == {**reference, "scaleDown": "onsuccess"}
    for name in ("minReadySeconds", "progressDeadlineSeconds", "revisionHistoryLimit", "selector"):
        assert rollout["spec"][name] == deployment["spec"][name], name
    assert "replicas" not in rollout["spec"]
    steps = rollout["spec"]["strategy"]["canary"]
    update = deployment["spec"]["strategy"]["rollingUpdate"]
    assert {name: steps[name] for name in update} == update
    target = canary.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target == {name: rollout[name] for name in ("apiVersion", "kind")} | {"name": "ashapp-backend"}


def test_the_analysis_gets_what_it_asks_for(canary: Objects) -> None:
    steps = canary.one("Rollout")["spec"]["strategy"]["canary"]["steps"]
    (analysis,) = [step["analysis"] for step in steps if "analysis" in step]
    template = canary.one("AnalysisTemplate")
    assert analysis["templates"] == [{"templateName": template["metadata"]["name"]}]
    given = {argument["name"] for argument in analysis["args"]}
    assert given == {argument["name"] for argument in template["spec"]["args"] if "value" not in argument}


def test_the_analysis_asks_for_what_is_exported(canary: Objects, exported: dict[str, set[str]]) -> None:
    metrics: list[dict[str, Any]] = canary.one("AnalysisTemplate")["spec"]["metrics"]
    assert metrics
    for metric in metrics:
        query = metric["provider"]["prometheus"]["query"]
        assert query.count('namespace="{{args.namespace}}", pod=~"ashapp-backend-{{args.hash}}-.*"') >= 1
        for name, labels in asked(re.sub(r"{{args.(\w+)}}", r"\1", query)).items():
            assert labels <= exported[name] | TARGET_LABELS | {"le"}, name
