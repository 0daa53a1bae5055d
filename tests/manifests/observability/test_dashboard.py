# SPDX-License-Identifier: MIT
import json
import re
from collections import Counter

from tests.manifests.objects import Objects
from tests.manifests.observability.exported import FOREIGN, TARGET_LABELS
from tests.manifests.observability.expressions import asked
from tests.manifests.observability.test_rules import ALERTS
from tests.manifests.render import MANIFESTS, kustomize

FOLDER = MANIFESTS / "observability"
TEXT = (FOLDER / "dashboard.json").read_text(encoding="utf-8")
DASHBOARD = json.loads(TEXT)
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

# Grafana puts a duration there, which depends on the zoom.
INTERVAL = "$__rate_interval"

# Of the last run of a check; /readyz on the management port tells it too.
NOT_SHOWN = {"ashapp_readiness_check_duration_seconds"}


def expressions() -> list[str]:
    return [target["expr"].replace(INTERVAL, "5m") for panel in PANELS for target in panel["targets"]]


def test_the_panels_ask_for_what_is_exported(exported: dict[str, set[str]]) -> None:
    known = {**{name: labels | TARGET_LABELS | {"le"} for name, labels in exported.items()}, **FOREIGN}
    for expression in expressions():
        for name, labels in asked(expression).items():
            assert name in known, expression
            assert labels <= known[name], expression


def test_all_that_the_service_exports_is_shown_and_documented(exported: dict[str, set[str]]) -> None:
    named = {
        name for text in (*expressions(), *(rule["expr"] for rule in ALERTS.values())) for name in asked(text)
    }
    seen = {_family(name) for name in named}
    own = {_family(name) for name in exported if name.startswith(("ashapp_", "http_"))}
    assert own - seen == NOT_SHOWN, "give them a panel of dashboard.json, or an alert"
    page = (MANIFESTS.parent / "docs/operate.md").read_text(encoding="utf-8")
    documented = {_family(name) for name in re.findall(r"`((?:ashapp|http)_\w+)`", page)}
    assert own <= documented, "give them a row in the table of docs/operate.md"


def _family(name: str) -> str:
    for suffix in ("_bucket", "_count", "_created", "_sum", "_total"):
        name = name.removesuffix(suffix)
    return name


def test_every_panel_is_about_the_chosen_namespace_and_pods() -> None:
    for expression in expressions():
        assert expression.count('{namespace="$namespace", pod=~"$pod"') == expression.count("{"), expression
        assert expression.count("{") == sum(map(expression.count, asked(expression)))
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "pod"]


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_no_panel_covers_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    covered = Counter(
        (at["x"] + right, at["y"] + down)
        for at in places
        for right in range(at["w"])
        for down in range(at["h"])
    )
    assert max(covered.values()) == 1
    assert max(x for x, _ in covered) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)


def test_grafana_finds_it_in_a_config_map() -> None:
    config = Objects.read(kustomize(FOLDER)).one("ConfigMap")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["ashapp.json"]) == DASHBOARD
