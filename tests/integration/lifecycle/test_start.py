# SPDX-License-Identifier: MIT
"""The start of a service, in one process and in several."""

from pathlib import Path
from textwrap import dedent

import pytest

from tests.support.client import fetch
from tests.support.process import serving

_APP = """
    import gc

    from flask import Flask

    app = Flask(__name__)

    @app.get("/")
    async def frozen():
        return f"{gc.get_freeze_count()} {len(gc.get_objects())}"
    """


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_garbage_collector_need_not_look_at_the_application(tmp_path: Path, workers: str) -> None:
    (tmp_path / "counts.py").write_text(dedent(_APP))
    with serving(["counts:app", "--workers", workers], cwd=tmp_path) as server:
        frozen, tracked = map(int, fetch(server.address, "/").body.split())
    assert frozen > 10 * tracked > 0
