# SPDX-License-Identifier: MIT
"""The pod against the profile "restricted" of the Pod Security Standards, and what the image promises."""

from collections.abc import Iterator

from tests.manifests.objects import Object, Objects

# The numeric user of the image.
UID = 10001

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def containers(pod: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(kind, ())


def test_the_namespace_enforces_the_profile(objects: Objects) -> None:
    labels = objects.one("Namespace")["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {
        "restricted"
    }


def test_nothing_of_the_host_is_shared(objects: Objects) -> None:
    pod = objects.pod
    assert not {"hostNetwork", "hostPID", "hostIPC"}.intersection(pod)
    assert "sysctls" not in pod["securityContext"]
    assert not [port for item in containers(pod) for port in item["ports"] if "hostPort" in port]
    assert all(set(volume) - {"name"} <= VOLUMES for volume in pod["volumes"])


def test_no_privilege_is_had_or_got(objects: Objects) -> None:
    for container in containers(objects.pod):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "procMount" not in context


def test_it_runs_as_the_user_of_the_image(objects: Objects) -> None:
    context = objects.pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == UID
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in containers(objects.pod):
        assert not {"runAsUser", "runAsNonRoot", "seccompProfile"}.intersection(container["securityContext"])


def test_only_tmp_can_be_written_and_not_without_end(objects: Objects) -> None:
    assert objects.container["securityContext"]["readOnlyRootFilesystem"] is True
    (mount,) = objects.container["volumeMounts"]
    (volume,) = objects.pod["volumes"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], "/tmp")
    assert "sizeLimit" in volume["emptyDir"]


def test_it_has_no_token_and_no_variables_of_other_services(objects: Objects) -> None:
    assert objects.pod["automountServiceAccountToken"] is False
    assert objects.pod["enableServiceLinks"] is False
    account = objects.one("ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert objects.pod["serviceAccountName"] == account["metadata"]["name"]
