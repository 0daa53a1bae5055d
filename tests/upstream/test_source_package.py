# SPDX-License-Identifier: MIT
import os
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.upstream.source_package import SourceUnavailableError, unpack_source


def test_without_a_package_index_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(SourceUnavailableError, match=r"source package of flask==\d.*need a package index"):
        unpack_source("flask", tmp_path, tmp_path / "unpacked")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_in_the_cache_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    release = f"flask-{version('flask')}"
    with tarfile.open(tmp_path / f"{release}.tar.gz", "w:gz") as tar:
        tar.add(__file__, f"{release}/tests/test_it.py")
    source = unpack_source("flask", tmp_path, tmp_path / "unpacked")
    assert (source / "tests" / "test_it.py").read_bytes() == Path(__file__).read_bytes()
