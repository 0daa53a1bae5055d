# SPDX-License-Identifier: MIT
"""What the service may do in its container: little."""

import re
from pathlib import PurePosixPath

import httpx

from tests.container.engine import Container, running, shell, until

USER = "10001"


def test_the_first_process_is_the_server(service: Container) -> None:
    program, *arguments = service.run("cat", "/proc/1/cmdline").rstrip("\0").split("\0")
    assert PurePosixPath(program).name.startswith("python")
    assert arguments == ["/opt/ashapp/bin/ashapp", "serve"]


def test_no_process_has_any_right(service: Container) -> None:
    status = service.run("sh", "-c", "cat /proc/[0-9]*/status")
    for name, value in {"Uid": USER, "Gid": USER, "CapEff": "0" * 16, "CapBnd": "0" * 16}.items():
        assert set(re.findall(rf"^{name}:\s+(\w+)", status, re.MULTILINE)) == {value}, name
    assert set(re.findall(r"^NoNewPrivs:\s+(\d)", status, re.MULTILINE)) == {"1"}


def test_only_memory_is_writable(service: Container) -> None:
    found = service.run(
        "sh", "-c", "find / -path /proc -prune -o -type d -writable -print 2>/dev/null || true"
    )
    memory = ("/tmp", "/dev/shm", "/dev/mqueue")
    assert [
        path for path in found.split() if not f"{path}/".startswith(tuple(f"{each}/" for each in memory))
    ] == []


def test_its_user_could_not_change_it_even_if_it_were_writable(image: str) -> None:
    script = "find /app /opt /usr /etc -writable ! -type l 2>/dev/null || true"
    assert shell(image, script) == ""


def test_any_other_user_will_do(image: str) -> None:
    with running(image, "--user=54321:0") as container:
        assert container.run("id", "-u").strip() == "54321"
        assert httpx.get(f"{container.url()}/version", trust_env=False).status_code == 200


def test_several_workers_need_no_folder_for_temporary_files(image: str) -> None:
    with running(image, "--tmpfs=/tmp:ro", command=["--workers", "2"]) as container:
        assert httpx.get(f"{container.url()}/version", trust_env=False).status_code == 200
        metrics = f"{container.url(5001)}/metrics"
        until(lambda: "ashapp_workers 2.0" in httpx.get(metrics, trust_env=False).text, "both serve")


def test_metrics(service: Container) -> None:
    httpx.get(f"{service.url()}/status/418", trust_env=False)
    response = httpx.get(f"{service.url(5001)}/metrics", trust_env=False)
    assert response.status_code == 200
    assert "ashapp_workers 1.0" in response.text
    assert 'http_route="/status/<code>"' in response.text


def test_readiness_in_detail(service: Container) -> None:
    response = httpx.get(f"{service.url(5001)}/readyz", trust_env=False)
    assert response.status_code == 200
    assert response.json()["status"] == "ok"
