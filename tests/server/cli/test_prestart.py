# SPDX-License-Identifier: MIT
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest

from ashapp.server.cli import prestart
from ashapp.server.errors import StartupError
from tests.support.process import run, serving
from tests.support.waiting import PATIENCE, until


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_script(folder: Path, text: str, mode: int = 0o755) -> None:
    script = folder / "prestart.sh"
    script.write_text(text)
    script.chmod(mode)


def refusal(command: str) -> str:
    with pytest.raises(StartupError) as caught:
        prestart.run(command)
    return caught.value.message


@pytest.mark.parametrize("command", [None, "off", "auto"])
def test_nothing_is_run_where_there_is_nothing(command: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(arguments: Sequence[str]) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(subprocess, "Popen", refuse)
    prestart.run(command)


@pytest.mark.parametrize("command", ["auto", "./prestart.sh"])
def test_a_script_is_run_in_the_working_directory(folder: Path, command: str) -> None:
    write_script(folder, "#!/bin/sh\npwd -P > ran\n")
    prestart.run(command)
    assert (folder / "ran").read_text().strip() == str(folder.resolve())
    prestart.run("touch 'a b' c")  # split as a shell does
    assert {path.name for path in folder.iterdir()} >= {"a b", "c"}


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("auto", 7, "Error: prestart = 'auto': ./prestart.sh failed with exit code 7\n"),
        ("sh -c 'kill -9 $$'", 137, "sh was ended by SIGKILL"),  # as shells have it
    ],
)
def test_its_failure_is_told_with_its_exit_code(
    folder: Path, capfd: pytest.CaptureFixture[str], command: str, code: int, told: str
) -> None:
    write_script(folder, "#!/bin/sh\nexit 7\n")
    assert prestart.run(command) == code
    assert told in capfd.readouterr().err


def test_a_program_that_is_not_there_is_told() -> None:
    assert refusal("./migrate now") == "prestart = './migrate now': there is no program './migrate'"


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.EACCES, "'./prestart.sh' may not be executed: chmod +x ./prestart.sh"),
        (errno.ENOEXEC, "the first line of a script must be like '#!/bin/sh'"),
        (errno.ENOMEM, "'./prestart.sh' can't be run (Cannot allocate memory)"),
    ],
)
def test_a_script_that_can_not_be_run_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str
) -> None:
    write_script(folder, "")
    monkeypatch.setattr(subprocess, "Popen", Mock(side_effect=OSError(number, os.strerror(number))))
    assert told in refusal("auto")


@pytest.mark.parametrize(("text", "mode"), [("#!/bin/sh\n", 0o644), ("true\n", 0o755)])
def test_a_script_needs_a_mode_and_an_interpreter(folder: Path, text: str, mode: int) -> None:
    write_script(folder, text, mode)
    assert "'./prestart.sh'" in refusal("auto")


# -- in the command


APP = "import pathlib, flask\nmigrated = pathlib.Path('migrated').read_text()\napp = flask.Flask(__name__)\n"


def test_it_has_run_before_the_application_is_imported(folder: Path) -> None:
    (folder / "shop.py").write_text(f"{APP}\n@app.get('/')\ndef index(): return migrated\n")
    write_script(folder, "#!/bin/sh\necho $GREETING > migrated\n")
    with serving(["shop:app", "--prestart", "auto"], cwd=folder, env={"GREETING": "hello"}) as server:
        assert httpx.get(server.base_url).text == "hello\n"


def test_the_command_ends_with_its_exit_code(folder: Path) -> None:
    ended = run(["--port", "0"], cwd=folder, env={"ASHAPP_PRESTART": "sh -c 'echo no database; exit 9'"})
    assert (ended.returncode, ended.stdout) == (9, "no database\n")
    assert ended.stderr.startswith("Error: prestart = ")


def test_a_signal_to_end_reaches_it_and_nothing_is_served(folder: Path) -> None:
    write_script(
        folder,
        f"#!{sys.executable}\n"
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    pathlib.Path('told').touch()\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "pathlib.Path('began').touch()\n"
        "time.sleep(60)\n",
    )
    with serving(["--prestart", "auto"], cwd=folder, listens=False) as server:
        until((folder / "began").exists, 2 * PATIENCE)
        assert server.stop() == 128 + signal.SIGTERM
        told = "Error: ended by SIGTERM while ./prestart.sh ran, before anything was served\n"
        assert server.stderr == told
    assert (folder / "told").exists()


def test_a_signal_that_comes_before_it_runs_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def signalled(arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        os.kill(os.getpid(), signal.SIGTERM)
        return start(arguments)

    monkeypatch.setattr(subprocess, "Popen", signalled)
    before = signal.getsignal(signal.SIGTERM)
    assert prestart.run("sleep 60") == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_does_not_interrupt_the_wait_is_passed_on(
    folder: Path,
) -> None:
    def tell() -> None:
        until((folder / "began").exists, PATIENCE)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # as one that comes just before the wait

    threading.Thread(target=tell).start()
    assert prestart.run("sh -c 'touch began; exec sleep 60'") == 143
