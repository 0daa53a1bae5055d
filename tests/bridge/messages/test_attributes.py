# SPDX-License-Identifier: MIT
from typing import Any

import pytest

from ashapp.bridge.messages.attributes import attribute_of


class Moody:
    there = 1

    def __getattr__(self, name: str) -> Any:
        raise {"absent": AttributeError, "key": KeyError, "proxy": RuntimeError}[name](name)


@pytest.mark.parametrize("name", ["absent", "key", "proxy"])
def test_an_attribute_that_is_not_to_be_had_is_the_default(name: str) -> None:
    assert attribute_of(Moody(), name) is None
    assert attribute_of(Moody(), name, 2) == 2
    assert attribute_of(Moody(), "there", 2) == 1
