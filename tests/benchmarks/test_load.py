# SPDX-License-Identifier: MIT
import pytest

from tests.benchmarks.load import Load, command, parse
from tests.benchmarks.workloads import WORKLOADS

GOOD = """\
Running 3s test @ http://127.0.0.1:8000/hello
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.70ms  234.56us   5.92ms   90.35%
    Req/Sec     9.47k   396.39     9.91k    86.67%
  Latency Distribution
     50%  812.00us
     75%    1.71ms
     90%    1.90ms
     99%    2.50ms
  28262 requests in 3.01s, 4.23MB read
Requests/sec:   9414.31
Transfer/sec:      1.41MB
"""

FAILING = """\
Running 1m test @ http://127.0.0.1:8000/hello
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   500.00ms  100.00ms   1.00s    90.00%
    Req/Sec    10.00      1.00    20.00     86.67%
  Latency Distribution
     50%  500.00ms
     75%  600.00ms
     90%  700.00ms
     99%    1.00s
  600 requests in 1.00m, 4.23MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 300
Requests/sec:     10.00
Transfer/sec:      1.41KB
"""


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (GOOD, Load(28262, 3.01, 0, 0, p50=0.000812, p99=0.0025)),
        (FAILING, Load(600, 60.0, 300, 10, p50=0.5, p99=1.0)),
    ],
)
def test_parse(output: str, expected: Load) -> None:
    result = parse(output)
    assert result.requests == expected.requests
    assert result.seconds == expected.seconds
    assert result.failed == expected.failed
    assert result.socket_errors == expected.socket_errors
    assert result.p50 == pytest.approx(expected.p50)
    assert result.p99 == pytest.approx(expected.p99)


@pytest.mark.parametrize(
    "output",
    ["", "unable to connect to 127.0.0.1:8000 Connection refused\n", GOOD.replace("99%", "")],
)
def test_what_is_not_a_complete_report_is_refused(output: str) -> None:
    with pytest.raises(ValueError, match="report of wrk"):
        parse(output)


def test_the_command_uses_one_thread_and_ends_by_itself() -> None:
    line = " ".join(command("http://127.0.0.1:1", WORKLOADS["hello"], 8, 3))
    assert line.startswith("wrk --threads 1 --connections 8 --duration 3s ")
    assert line.endswith(" http://127.0.0.1:1/hello")


def test_a_body_is_handed_to_the_script_that_posts_it() -> None:
    workload = WORKLOADS["post"]
    line = command("http://127.0.0.1:1", workload, 8, 3)
    assert line[-5] == "--script"
    assert line[-4].endswith("post.lua")
    assert line[-3:] == ["http://127.0.0.1:1/echo", "--", workload.body]
