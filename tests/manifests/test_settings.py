# SPDX-License-Identifier: MIT
from ashapp.server.settings import ServerSettings, Settings
from ashapp.server.variables import variable
from tests.manifests.objects import Objects, quantity


def test_every_variable_is_a_setting(objects: Objects) -> None:
    known = {variable(name) for name in ServerSettings.model_fields}
    given = [*objects.environment, *(item["name"] for item in objects.container["env"])]
    assert given
    assert not set(given) - known


def test_the_service_starts_with_them(objects: Objects, settings: Settings) -> None:
    assert {variable(name) for name in settings.model_fields_set} == set(objects.environment)
    assert settings.environment == "production"
    assert settings.probes
    assert settings.management_host == "0.0.0.0"


def test_tmp_holds_a_body_for_each_thread(objects: Objects, settings: Settings) -> None:
    (volume,) = objects.pod["volumes"]
    spooled = settings.limit_body * settings.threads * settings.workers
    assert 0 < spooled <= quantity(volume["emptyDir"]["sizeLimit"])
