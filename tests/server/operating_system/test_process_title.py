# SPDX-License-Identifier: MIT
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from ashapp.server.operating_system.process_title import set_title


@pytest.mark.parametrize("is_installed", [True, False])
def test_a_process_has_the_title_of_its_role(monkeypatch: pytest.MonkeyPatch, *, is_installed: bool) -> None:
    titles: list[str] = []
    module = ModuleType("setproctitle")
    module.__spec__ = ModuleSpec("setproctitle", None)
    vars(module)["setproctitle"] = titles.append
    monkeypatch.setitem(sys.modules, "setproctitle", module if is_installed else None)
    set_title("worker", "shop:app")
    assert titles == ["ashapp: worker [shop:app]"] * is_installed
