# SPDX-License-Identifier: MIT
"""The command as a person starts it: a process, sockets, signals, exit codes."""

import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from tests.support.network.tls import make_certificate, needs_openssl
from tests.support.process import ServerProcess, run, serving

FLASK = (sys.executable, "-m", "flask")

SHOP = """
    import gc
    import os
    from flask import Flask, request

    app = Flask(__name__)
    app.secret_key = "9f2c6d0b1e7a4538"

    @app.get("/")
    def index():
        return {
            "name": __name__,
            "debug": app.debug,
            "multiprocess": request.environ["wsgi.multiprocess"],
            "pid": os.getpid(),
        }

    @app.get("/frozen")
    async def frozen():
        return f"{gc.get_freeze_count()} {len(gc.get_objects())} {gc.get_threshold()[0]}"
    """


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(dedent(SHOP))
    return tmp_path


def get(server: ServerProcess, path: str = "/") -> httpx.Response:
    return httpx.get(f"{server.base_url}{path}", trust_env=False, timeout=10)


def test_the_reference_api_is_served_by_default_and_quietly(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        response = get(server)
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("application/json")
        assert "server" not in response.headers
        assert [get(server, path).json() for path in ("/livez", "/readyz", "/healthz")] == [
            {"status": "ok"}
        ] * 3
        assert server.stop() == 0
        assert f"Serving ashapp.api:create_app() on {server.base_url} with 1 worker of 40 th" in server.stderr
        assert "WARNING" not in server.stderr
        assert "Traceback" not in server.stderr
        assert server.stdout == ""


def test_what_the_encoding_of_the_output_lacks_is_escaped(folder: Path) -> None:
    program = f"{dedent(SHOP)}\napp.add_url_rule('/café', 'café', index)\n"
    (folder / "shop.py").write_text(program, encoding="utf-8")
    command = (sys.executable, "-m", "ashapp", "routes")
    ended = run(["shop"], command=command, cwd=folder, env={"PYTHONIOENCODING": "ascii"})
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "/caf\\xe9 " in ended.stdout


def test_a_secret_reaches_workers_but_no_list_of_processes(folder: Path) -> None:
    (folder / "secret").write_text("a secret of the service\n")
    (folder / "peek.py").write_text(
        dedent("""
        import flask
        from pathlib import Path

        app = flask.Flask("peek")

        @app.get("/")
        def index():
            process = Path("/proc/self")
            listed = [(process / name).read_bytes() for name in ("cmdline", "environ") if process.exists()]
            return {"key": app.secret_key, "listed": any(app.secret_key.encode() in text for text in listed)}
        """)
    )
    secret = {"ASHAPP_SECRET_KEY_FILE": str(folder / "secret")}
    with serving(["peek", "--workers", "2"], cwd=folder, env=secret) as server:
        assert get(server).json() == {"key": "a secret of the service", "listed": False}
        assert "a secret of the service" not in server.stderr


@needs_openssl
def test_tls_is_served(folder: Path) -> None:
    files = make_certificate(folder)
    flags = ["--ssl-keyfile", files["ssl_keyfile"], "--ssl-certfile", files["ssl_certfile"]]
    with serving(["shop", *flags], cwd=folder) as server:
        assert server.base_url.startswith("https://")
        context = ssl.create_default_context(cafile=files["ssl_certfile"])
        url = f"https://localhost:{server.address[1]}"
        assert httpx.get(url, verify=context, trust_env=False).json()["name"] == "shop"


@pytest.mark.parametrize("more", [[], ["--workers", "2"]])
def test_the_garbage_collector_need_not_look_at_the_application(folder: Path, more: list[str]) -> None:
    with serving(["shop", *more], cwd=folder) as server:
        frozen, tracked, threshold = map(int, get(server, "/frozen").text.split())
    assert frozen > 10 * tracked > 0
    assert threshold == 5_000


def test_an_application_may_say_when_garbage_is_collected(folder: Path) -> None:
    (folder / "shop.py").write_text(f"{dedent(SHOP)}\ngc.set_threshold(1_234)\n")
    with serving(["shop"], cwd=folder) as server:
        assert get(server, "/frozen").text.endswith(" 1234")


@pytest.mark.parametrize(("kind", "more"), [("async def", []), ("def", ["--workers", "2"])])
def test_a_startup_that_fails_ends_with_its_reason(folder: Path, kind: str, more: list[str]) -> None:
    source = f"import shop, ashapp\n{kind} fail(): raise RuntimeError('no database')\n"
    (folder / "failing.py").write_text(f"{source}app = ashapp.FlaskToAsgi(shop.app, on_startup=[fail])")
    result = run(["failing", "--port", "0", *more], cwd=folder)
    assert result.returncode == 3
    assert "RuntimeError: no database" in result.stderr
    assert "Application startup failed. Exiting." in result.stderr


IMPORTED = """
    import asyncio
    import fcntl
    import os
    import socket
    from asgiref.sync import async_to_sync
    from flask import Flask

    async def answer():
        await asyncio.sleep(0)
        return "imported"

    first, second = asyncio.run(answer()), async_to_sync(answer)()
    asyncio.run = None  # as nest_asyncio replaces it
    with open("imports", "a") as file:
        print(os.getpid(), file=file)
    lock = open("lock", "w")
    if os.environ["ONCE"]:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    app = Flask(__name__)
    app.secret_key = "9f2c6d0b1e7a4538"

    @app.get("/")
    def index():
        return {"pid": os.getpid(), "found": first + second}
    """


@pytest.mark.parametrize(
    ("more", "count", "replaced"),
    [
        ([], 1, 0),
        (["--supervisor"], 1, 0),
        (["--reload"], 1, 1),
        (["--workers", "2"], 2, 2),
    ],
)
def test_an_application_is_imported_by_those_who_serve_it_and_outside_of_a_loop(
    folder: Path, more: list[str], count: int, replaced: int
) -> None:
    """What it does at its import, such as to start a scheduler or to take a lock, is done once for each."""
    source, imports = folder / "imported.py", folder / "imports"
    source.write_text(dedent(IMPORTED))
    once = "" if count > 1 else "yes"
    with serving(["imported", *more], cwd=folder, env={"ONCE": once}) as server:
        server.wait_for_log(r"(?s)(startup complete.*)" f"{{{count}}}")
        answer = get(server).json()
        assert answer["found"] == "importedimported"
        pids = imports.read_text().split()
        assert len(pids) == count
        assert str(answer["pid"]) in pids
        if replaced:
            if count == 1:
                source.touch()
            else:
                os.kill(server.pid, signal.SIGHUP)
            server.wait_for_log(r"(?s)(startup complete.*)" f"{{{count + replaced}}}")
            assert len(imports.read_text().split()) == count + replaced
        assert server.stderr.count("Serving imported on ") == 1
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["broken"], ["importing 'broken' failed", "No module named 'nosuch'", "broken.py, line 1"]),
        (["broken", "--workers", "2"], ["importing 'broken' failed"]),
        (["broken", "--reload"], ["importing 'broken' failed"]),
        (["shop", "--no-such-option"], ["--no-such-option"]),
        (["shop", "--ssl-certfile", "shop.py", "--supervisor"], ["ssl_certfile"]),
    ],
)
def test_a_start_that_fails_says_why_in_one_line(folder: Path, args: list[str], words: list[str]) -> None:
    (folder / "broken.py").write_text("import nosuch")
    check_refusal(run([*args, "--port", "0"], cwd=folder), words)


def test_flask_serve_fails_in_one_line_too(folder: Path) -> None:
    args = ["--app", "nowhere", "serve"]
    check_refusal(run(args, command=FLASK, cwd=folder, env={"PORT": "0"}), ["no module 'nowhere'"])


def check_refusal(result: subprocess.CompletedProcess[str], words: list[str]) -> None:
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert [word for word in words if word not in line] == []
