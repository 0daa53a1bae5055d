# SPDX-License-Identifier: MIT
import pytest

from tests.benchmarks.memory import resident

STATUS = "Name:\tpython\nVmPeak:\t  300000 kB\nVmHWM:\t   51200 kB\nVmRSS:\t   40960 kB\nThreads:\t3\n"


def test_resident() -> None:
    assert resident(STATUS, "VmHWM") == 51200
    assert resident(STATUS, "VmRSS") == 40960


def test_a_kernel_that_does_not_tell_is_no_zero() -> None:
    with pytest.raises(ValueError, match="no VmHWM"):
        resident("Name:\tpython\n", "VmHWM")
