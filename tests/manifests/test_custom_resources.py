# SPDX-License-Identifier: MIT
"""Objects of kinds that Kubernetes itself does not know, against the published definitions of these.

``custom_resources.json`` has the parts of them that are used here. What is not in it is looked up in the
definition that its comment names, and added.
"""

import json
from pathlib import Path

import jsonschema

from tests.manifests.objects import Object, Objects
from tests.manifests.render import MANIFESTS, component, kustomize
from tests.manifests.test_chart import ROUTE, template

DEFINITIONS = json.loads(Path(__file__).with_name("custom_resources.json").read_text())
CHART = {"httpRoute": ROUTE, "podMonitor": {"enabled": True}}


def rendered() -> list[Object]:
    texts = (component("canary", "http-route"), kustomize(MANIFESTS / "observability"), template(CHART))
    return [item for text in texts for item in Objects.read(text) if item["kind"] in DEFINITIONS]


def test_each_is_as_its_definition_says() -> None:
    objects = rendered()
    assert {item["kind"] for item in objects} == DEFINITIONS.keys()
    for item in objects:
        jsonschema.validate(item["spec"], DEFINITIONS[item["kind"]])
