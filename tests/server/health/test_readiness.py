# SPDX-License-Identifier: MIT
import pytest

from ashapp import readiness_check
from ashapp.server.health.readiness import registered_checks

pytestmark = pytest.mark.usefixtures("no_checks")


def test_a_decorated_function_stays_what_it_is_and_is_registered() -> None:
    @readiness_check("database", timeout=0.5)
    def database() -> bool:
        return True

    assert database()
    check = registered_checks()["database"]
    assert (check.name, check.function, check.timeout) == ("database", database, 0.5)


def test_a_callable_is_registered_by_a_call() -> None:
    readiness_check("list")(list)
    assert registered_checks()["list"].function is list
    assert registered_checks()["list"].timeout == 2


def test_a_name_that_is_registered_again_replaces_the_one_before() -> None:
    readiness_check("cache")(list)
    readiness_check("cache")(dict)
    assert [check.function for check in registered_checks().values()] == [dict]


def test_what_was_returned_does_not_change_with_the_registry() -> None:
    before = registered_checks()
    readiness_check("cache")(list)
    assert dict(before) == {}


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_check_must_have_a_name_and_some_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="'database': timeout must be positive, not"):
        readiness_check("database", timeout=timeout)
    with pytest.raises(ValueError, match="needs a name"):
        readiness_check("")
    assert dict(registered_checks()) == {}
