# SPDX-License-Identifier: MIT
import pytest

from tests.benchmarks.load import Load, parse

REPORT = """\
Running 1m test @ http://127.0.0.1:8000/hello
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   500.00ms  100.00ms   1.00s    90.00%
    Req/Sec    10.00      1.00    20.00     86.67%
  Latency Distribution
     50%  812.00us
     75%  600.00ms
     90%  700.00ms
     99%    2.50ms
  600 requests in 1.00m, 4.23MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 300
Requests/sec:     10.00
Transfer/sec:      1.41KB
"""


def test_a_report_is_read() -> None:
    assert parse(REPORT) == Load(600, 60.0, failed=300, socket_errors=10, p99=0.0025)
    fine = "\n".join(line for line in REPORT.splitlines() if "rrors" not in line and "Non-2xx" not in line)
    assert (parse(fine).failed, parse(fine).socket_errors) == (0, 0)


@pytest.mark.parametrize("output", ["", "unable to connect to 127.0.0.1:8000\n", REPORT.replace("99%", "")])
def test_what_is_not_a_complete_report_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="report of wrk"):
        parse(output)
