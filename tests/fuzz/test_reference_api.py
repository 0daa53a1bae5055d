# SPDX-License-Identifier: MIT
"""The reference API, asked by schemathesis for what its OpenAPI document allows, and for what it does not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.process import ServerProcess, serving

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
# Of the whole run.
SECONDS = int(os.environ.get("ASHAPP_FUZZ_SECONDS", "30"))


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with serving(["tests.fuzz.target:app"], cwd=ROOT) as process:
        yield process
        assert "ERROR" not in process.stderr
        assert "Traceback" not in process.stderr


def test_the_document_is_openapi(server: ServerProcess) -> None:
    document = httpx.get(f"{server.base_url}/openapi.json", trust_env=False).json()
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


@pytest.mark.timeout(SECONDS + 300)
def test_no_answer_contradicts_the_document(server: ServerProcess, tmp_path: Path) -> None:
    command = [
        *(
            str(SCHEMATHESIS),
            "--no-color",
            "--config-file",
            str(Path(__file__).with_name("schemathesis.toml")),
        ),
        *("run", f"{server.base_url}/openapi.json", "--max-time", str(SECONDS)),
        *("--continue-on-failure", "--request-timeout", "30", "--generation-database", "none"),
    ]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS + 240, check=False
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
