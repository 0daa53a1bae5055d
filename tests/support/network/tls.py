# SPDX-License-Identifier: MIT
"""A certificate for servers under test."""

import shutil
from pathlib import Path

import pytest

from tests.support.process import run

__all__ = ["make_certificate", "needs_openssl"]

needs_openssl = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the openssl command makes the certificate"
)


def make_certificate(folder: Path) -> dict[str, str]:
    """Make a key and a certificate for ``localhost`` in *folder*; return them as settings."""
    files = {"ssl_keyfile": str(folder / "key.pem"), "ssl_certfile": str(folder / "certificate.pem")}
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    named = ["-subj", "/CN=localhost", "-keyout", files["ssl_keyfile"], "-out", files["ssl_certfile"]]
    result = run([*made, *named], command=["openssl"])
    assert result.returncode == 0, result.stderr
    return files
