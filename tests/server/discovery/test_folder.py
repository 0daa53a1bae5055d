# SPDX-License-Identifier: MIT
from pathlib import Path

import pytest

from ashapp.server.discovery.folder import find_target
from ashapp.server.errors import StartupError


def write(folder: Path, files: str) -> None:
    """Write *files*: empty ones, and such as ``shop.py=app``, with an application of that name."""
    for file in files.split():
        name, _, app = file.partition("=")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{app} = flask.Flask(__name__)\n" if app else "")


@pytest.mark.parametrize(
    ("files", "target"),
    [
        ("app.py wsgi.py shop.py", "wsgi.py"),
        ("app.py shop.py", "app.py"),
        ("app.py app/__init__.py", "app"),
        ("wsgi/__init__.py", "wsgi"),
        ("manage.py mysite/__init__.py mysite/wsgi.py", "mysite.wsgi"),
        ("README.md setup.py conftest.py test_all.py tests/__init__.py app/readme.txt", None),
        ("", None),
    ],
)
def test_the_application_is_found_as_by_flask_run(tmp_path: Path, files: str, target: str | None) -> None:
    write(tmp_path, files)
    assert find_target(tmp_path) == target


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ("shop.py", "(shop.py): name it, as in 'ashapp serve shop:app'"),
        ("shop/__init__.py", "(shop): name it, as in 'ashapp serve shop:app'"),
        ("src/shop/__init__.py a.py b.py c.py", "(a.py, b.py, c.py, …): name it, as in 'ashapp serve a:app'"),
        ("src/shop/__init__.py", "(src/shop): name it, as in 'ashapp serve src/shop:app'"),
        (
            "src/shop/__init__.py src/shop/web.py=shop",
            "(src/shop): name it, as in 'ashapp serve src/shop:app'",
        ),
        ("src/shop/__init__.py src/shop/app.py=shop", "name it, as in 'ashapp serve src/shop/app:shop'"),
        ("src/shop/__init__.py=shop", "(src/shop): name it, as in 'ashapp serve src/shop:shop'"),
        ("a.py/nothing main.py=shop", "(a.py, main.py): name it, as in 'ashapp serve main:shop'"),
        ("a.py main.py=shop", "(a.py, main.py): name it, as in 'ashapp serve main:shop'"),
        ("shop/__init__.py shop/app.py=api", "(shop): name it, as in 'ashapp serve shop.app:api'"),
        ("tests/__init__.py tests/app.py=api main.py", "(main.py): name it, as in 'ashapp serve main:app'"),
        ("src/shop.py tests/test_a.py", "(src/shop.py): name it, as in 'ashapp serve src/shop:app'"),
        ("manage.py one/wsgi.py two/wsgi.py one/__init__.py two/__init__.py", "(one, two): name it"),
    ],
)
def test_other_code_is_not_passed_over(tmp_path: Path, files: str, named: str) -> None:
    write(tmp_path, files)
    with pytest.raises(StartupError, match="no application is named") as caught:
        find_target(tmp_path)
    assert named in caught.value.message
