# SPDX-License-Identifier: MIT
from typing import Any

import pytest
from pydantic import ValidationError

from ashapp.server.settings.logs import Logging


def test_requests_are_logged_without_their_query_by_default() -> None:
    settings = Logging()
    assert (settings.log_level, settings.log_format, settings.log_config) == ("info", "auto", None)
    assert (settings.access_log, settings.access_log_query) == (True, False)


@pytest.mark.parametrize("values", [{"log_format": "xml"}, {"log_level": "loud"}, {"log_config": "nowhere"}])
def test_a_wrong_value_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Logging(**values)
