# SPDX-License-Identifier: MIT
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ashapp.server.cli import main
from ashapp.server.gunicorn.settings_file import settings_file
from ashapp.server.settings.loading import load

GUNICORN = """
import multiprocessing
import helpers

cores = multiprocessing.cpu_count()
bind = helpers.BIND
workers = 2 * 1 + 1
threads = 8
accesslog = "-"
loglevel = "warning"
wsgi_app = "shop:create('b\\u00fccher')"
daemon = False
pidfile = None
preload_app = True
statsd_host = "localhost:8125"
worker_class = "gthread"

def on_exit(server):
    print("bye")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def migrate(*arguments: str) -> Result:
    return CliRunner().invoke(main.main, ["migrate", *arguments])


def test_the_printed_file_has_what_has_a_counterpart_and_names_the_rest(folder: Path) -> None:
    folder.joinpath("gunicorn.conf.py").write_text(GUNICORN)
    folder.joinpath("helpers.py").write_text('BIND = ["[::1]:8000", "unix:/run/shop.sock"]\n')
    result = migrate()
    assert result.exit_code == 0
    assert tomllib.loads(result.output) == {
        "bind": ["[::1]:8000", "unix:/run/shop.sock"],
        "workers": 3,
        "threads": 8,
        "access_log": True,
        "log_level": "warning",
        "app": "shop:create('bücher')",
    }
    untold = [line[4:].partition(":")[0] for line in result.output.splitlines() if line.startswith("# - ")]
    assert untold == ["preload_app", "statsd_host", "worker_class", "on_exit"]
    folder.joinpath("ashapp.toml").write_text(result.output)
    settings = load({"config": "ashapp.toml"})
    assert (len(settings.addresses), settings.threads) == (2, 8)


def test_proxies_of_two_lists_are_in_one() -> None:
    given = {"forwarded_allow_ips": "10.0.0.1", "proxy_allow_ips": "10.0.0.0/8", "proxy_protocol": "auto"}
    assert tomllib.loads(settings_file(given, "shop.py")) == {
        "forwarded_allow_ips": "10.0.0.1,unix,10.0.0.0/8,unix",
        "proxy_protocol": True,
    }


@pytest.mark.parametrize(
    ("worker_class", "expected"),
    [("gthread", {"threads": 4}), ("sync", {"threads": 4}), ("gevent", {}), ("uvicorn.workers.H11", {})],
)
def test_threads_that_gunicorn_takes_no_notice_of_are_no_limit_here(
    worker_class: str, expected: dict[str, int]
) -> None:
    text = settings_file({"threads": 4, "worker_class": worker_class}, "shop.py")
    assert tomllib.loads(text) == expected
    assert ("threads: gunicorn takes no notice" in text) == (not expected)


def test_what_differs_is_told_beside_the_setting() -> None:
    text = settings_file({"workers": 9}, "shop.py")
    assert "workers = 9  # one for each core is enough" in text


def test_a_file_that_sets_nothing_is_one() -> None:
    assert tomllib.loads(settings_file({}, "nothing")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Error: shop.py can't be read: No such file or directory"),
        (
            "workers = ",
            "Error: shop.py is no configuration of gunicorn: SyntaxError: invalid syntax (shop.py, line 1)",
        ),
        ("import nothing_of_that_name", "No module named 'nothing_of_that_name' (shop.py, line 1)"),
        ("workers = 'many'", "Error: workers = 'many' (shop.py): gunicorn refuses such a value too"),
        ("bind = 8000", "Error: bind = 8000 (shop.py): gunicorn refuses such a value too"),
    ],
)
def test_what_cant_be_read_is_told_in_a_line(folder: Path, text: str | None, message: str) -> None:
    if text is not None:
        folder.joinpath("shop.py").write_text(text)
    result = migrate("shop.py")
    assert result.exit_code == 2
    assert message in result.output
    assert result.output.count("\n") == 1
