# SPDX-License-Identifier: MIT
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from ashapp.bridge import FlaskToAsgi
from ashapp.server.discovery.targets import find_application, find_mounted
from ashapp.server.errors import StartupError

Project = Callable[..., Path]

SHOP = """
    import json
    from flask import Flask, current_app, g, request, session

    app = Flask("shop")

    class Box:
        app = app

        def make(self):
            return Flask("boxed")

    box = Box()

    def make(name, *, suffix=""):
        return Flask(name + suffix)

    def wsgi(environ, start_response):
        return []

    class WsgiClass:
        def __init__(self, environ, start_response): ...
        def __iter__(self): ...

    async def asgi(scope, receive, send): ...

    class Asgi:
        async def __call__(self, scope, receive, send): ...

    framework = Asgi()
    number = 3

    def broken():
        return {}["missing"]

    def stops():
        raise SystemExit(1)

    async def make_later():
        return app
    """


def refusal(target: str) -> str:
    with pytest.raises(StartupError) as caught:
        find_application(target)
    assert "\n" not in caught.value.message
    return caught.value.message


def name_of(target: str) -> str:
    found = find_application(target)
    assert isinstance(found, Flask)
    return found.import_name


def test_a_flask_application_is_found(project: Project) -> None:
    project(shop=SHOP)
    targets = ["shop", "shop:app", "shop: app ", "shop:Box.app", "shop.py", "./shop.py:app"]
    assert [name_of(target) for target in targets] == ["shop"] * 6
    calls = ["shop:box.make", "shop:box.make()", 'shop:make("toys")', 'shop:make("toys", suffix="-2")']
    assert [name_of(target) for target in calls] == ["boxed", "boxed", "toys", "toys-2"]


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("src/web/wsgi.py", "web.wsgi"),
        ("src/web/wsgi.py:app", "web.wsgi"),
        ("src/web/wsgi", "web.wsgi"),
        ("src/web", "web"),
        ("src/web/__init__.py", "web"),
        ("flat/hello.py", "hello"),
    ],
)
def test_a_path_is_imported_from_above_its_package(project: Project, target: str, name: str) -> None:
    source = "from flask import Flask; app = Flask(__name__)"
    project(src__web__wsgi="", flat__hello=source)
    Path("src/web/__init__.py").write_text(source)
    Path("src/web/wsgi.py").write_text(f"from . import __name__ as package\n{source}")
    assert name_of(target) == name


def test_the_current_folder_is_on_the_path(project: Project) -> None:
    folder = project(pkg__sub__web="from flask import Flask; app = Flask(__name__)")
    sys.path[:] = [entry for entry in sys.path if entry not in {"", str(folder)}]
    assert name_of("pkg.sub.web") == "pkg.sub.web"


def test_a_module_elsewhere_may_use_the_current_folder(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(
        lib__installed="from flask import Flask; import plugin; app = Flask('installed')", plugin=""
    )
    sys.path[:] = [entry for entry in sys.path if entry not in {"", str(folder)}]
    monkeypatch.syspath_prepend(folder / "lib")
    assert name_of("installed") == "installed"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("app = Flask('a'); other = Flask('b')", "a"),
        ("application = Flask('a'); other = Flask('b')", "a"),
        ("site = Flask('a'); app = 5", "a"),
        ("site = alias = Flask('a')", "a"),
        ("def create_app(): return Flask('made')", "made"),
        ("def make_app(debug=False): return Flask('made')", "made"),
        ("create_app = 'not a function'\ndef make_app(): return Flask('made')", "made"),
    ],
)
def test_a_bare_module_is_searched_as_flask_does(project: Project, source: str, name: str) -> None:
    project(site_=f"from flask import Flask\n{source}")
    assert name_of("site_") == name


@pytest.mark.parametrize(
    ("source", "served"),
    [
        ("", "bridge"),
        ("alias = bridge", "bridge"),
        ("app = Flask('b')", "app"),  # the bridge is that of another application
        ("second = FlaskToAsgi(app)", "app"),
    ],
)
def test_the_bridge_that_a_module_has_made_of_its_application_is_served(
    project: Project, source: str, served: str
) -> None:
    project(
        site_="from flask import Flask\nfrom ashapp import FlaskToAsgi\n"
        f"app = Flask('a')\nbridge = FlaskToAsgi(app)\n{source}"
    )
    assert find_application("site_") is getattr(sys.modules["site_"], served)
    assert find_mounted("site_") is find_application("site_")
    assert find_application("site_:app") is sys.modules["site_"].app  # as it is named


def test_a_proxy_beside_the_application_is_not_asked_for_anything(project: Project) -> None:
    project(
        site_="from flask import Flask\nfrom werkzeug.local import LocalProxy\n"
        "def connect():\n    raise KeyError('DATABASE_URL')\n"
        "app = Flask('a')\ndatabase = LocalProxy(connect)"
    )
    assert find_application("site_") is sys.modules["site_"].app


def test_any_wsgi_callable_is_found(project: Project) -> None:
    project(shop=SHOP, plain="def application(environ, start_response): ...\napp = 5")
    modules = sys.modules
    assert find_application("shop:wsgi") is modules["shop"].wsgi
    assert find_application("shop:WsgiClass") is modules["shop"].WsgiClass
    assert find_application("shop:app.wsgi_app") == modules["shop"].app.wsgi_app
    assert find_application("plain") is modules["plain"].application


def test_a_callable_whose_signature_cannot_be_read_is_taken_for_wsgi(project: Project) -> None:
    project(
        native="""
        class Opaque:
            @property
            def __signature__(self):
                raise ValueError("no signature")
            def __call__(self, *args): ...

        app = Opaque()
        """
    )
    assert find_application("native:app") is sys.modules["native"].app


def test_an_application_that_is_bridged_already_is_found(project: Project) -> None:
    project(
        bridged="""
        from flask import Flask
        from ashapp import FlaskToAsgi
        site = Flask("site")
        app = FlaskToAsgi(site)
        """
    )
    assert isinstance(find_application("bridged"), FlaskToAsgi)
    assert isinstance(find_application("bridged:app"), FlaskToAsgi)


def test_a_server_is_not_started_by_the_module_itself(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project(runs="from flask import Flask; app = Flask('runs'); app.run()")
    assert name_of("runs") == "runs"
    assert os.environ["FLASK_RUN_FROM_CLI"] == "true"
    assert "Ignoring a call to 'app.run()'" in capsys.readouterr().out


ASGI = "is an ASGI application"
NEITHER = "is neither a name nor a call with literal arguments"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("shop:number", "shop:number is an object of type int; expected a Flask application, a WSGI call"),
        ("shop:Box", "shop:Box is the class Box; expected"),
        ("shop:box", "shop:box is an object of type shop.Box; expected"),
        ("shop:make", "give it literal arguments, as in 'shop:make(\"dev\")', if it is a factory; expected"),
        ("shop:json", "shop:json is a module (json); expected"),
        ("shop:request", "shop:request is an object of type werkzeug.local.LocalProxy; expected"),
        ("shop:asgi", f"shop:asgi {ASGI}, the function asgi(scope, receive, send), and needs no"),
        ("shop:framework", f"shop:framework {ASGI}, an object of type shop.Asgi, and needs no"),
        ("shop:make()", "shop:make() can't be called so: it is the function make(name, *, suffix='')"),
        ("shop:app()", "it is an object of type flask.app.Flask, which is named without parentheses"),
        ("shop:number()", "shop:number() can't be called so: it is an object of type int"),
        ("shop:make_later", "shop:make_later is an async function; expected"),
        ("shop:nothing", "module 'shop' has no 'nothing'; there is 'shop:app'"),
        ("shop:Box.nothing", "module 'shop' has no 'Box.nothing'"),
        *((f"shop:{odd}", f"{odd!r} {NEITHER}") for odd in ("make(app)", "make(**{})", "app[0]", "1 +")),
        ("shop:", "'shop:' is no target: it must be 'module', 'module:name' or the path of a file"),
        (":app", "':app' is no target"),
        ("shop.sub", "there is no module 'shop.sub'"),
        ("nowhere:app", "there is no module 'nowhere', neither in "),
        ("nowhere.py", "there is no file 'nowhere.py'"),
        ("here/nowhere", "there is no file 'here/nowhere'"),
        ("collections:OrderedDict", "collections:OrderedDict is the class OrderedDict; expected"),
        ("json:dumps", "json:dumps is the function dumps("),
        ("logging:shop", "module 'logging' has no 'shop'"),
        ("shop:sys", "module 'shop' has no 'sys'"),
    ],
)
def test_what_is_no_application_is_told_as_what_it_is(project: Project, target: str, message: str) -> None:
    project(shop=SHOP)
    assert message in refusal(target)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "a = Flask('a'); b = Flask('b')",
            "has several Flask applications; name one: 'site_:a', 'site_:b'",
        ),
        ("", "module 'site_' has no Flask application and no factory create_app or make_app; name the app"),
        ("def create_app(): return 5", "what site_:create_app returned is an object of type int; expected"),
        (
            "def create_app(name): ...",
            "the function create_app(name); give it literal arguments, as in 'site_:create_app(\"dev\")'",
        ),
        ("import site_ as other\nother.app.route", "has no attribute 'app'"),
        ("import json as app", "module 'site_' has no Flask application"),
        ("from flask import request as app", "module 'site_' has no Flask application"),
    ],
)
def test_a_module_without_a_clear_application_is_told_of(project: Project, source: str, message: str) -> None:
    project(site_=f"from flask import Flask\n{source}")
    assert message in refusal("site_")


def test_a_folder_is_told_with_the_application_in_it(project: Project) -> None:
    project(shop__app="from flask import Flask\napp = Flask('shop')")
    assert refusal("shop").endswith("name the application: 'shop.app:app'")


def test_a_module_that_its_own_package_lacks_is_told_with_its_place(project: Project) -> None:
    file = project(pkg__other="") / "pkg" / "__init__.py"
    file.write_text("import pkg.web")
    error = f"ModuleNotFoundError: No module named 'pkg.web' ({file}, line 1)"
    assert refusal("pkg.web") == f"importing 'pkg.web' failed: {error}"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "\nimport nosuch",
            "named 'nosuch' ({file}, line 2); it is neither in {folder} nor installed for {python}",
        ),
        ("from os import nosuch", "ImportError: cannot import name 'nosuch' from 'os'"),
        ("import site_.sub", "No module named 'site_.sub'"),
        ("def broken(:", "SyntaxError: invalid syntax ({file}, line 1)"),
        ("import os\n\nos.environ['NOPE']", "KeyError: 'NOPE' ({file}, line 3)"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines ({file}, line 1)"),
        ("raise SystemExit", "failed: SystemExit ({file}, line 1)"),
    ],
)
def test_an_error_in_the_module_is_told_with_its_place(project: Project, source: str, message: str) -> None:
    file = project(site_=source) / "site_.py"
    text = refusal("site_")
    assert text.startswith("importing 'site_' failed: ")
    assert message.format(file=file, folder=file.parent, python=sys.executable) in text


def test_where_nothing_is_found_it_is_told_what_is_here(project: Project) -> None:
    project(src__shop__app="shop = Flask(__name__)", web="def create_app(): ...", other="x = 1")
    for target in ("shop:app", "app.web", "nowhere.py", "app/"):
        assert refusal(target).endswith("; here is 'src/shop/app:shop', 'web:create_app'")


def test_a_current_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a deployment has replaced it since the service was started."""
    gone = tmp_path / "release"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(StartupError, match="the current folder is gone"):
        find_application("shop")


@pytest.mark.parametrize(
    ("factory", "error"), [("broken", "KeyError: 'missing'"), ("stops", "SystemExit: 1")]
)
def test_an_error_in_a_factory_is_told_with_its_place(project: Project, factory: str, error: str) -> None:
    file = project(shop=SHOP) / "shop.py"
    assert refusal(f"shop:{factory}()").startswith(f"calling shop:{factory}() failed: {error} ({file}, line ")


def test_the_cause_is_kept_for_a_debug_log(project: Project) -> None:
    project(site_="import nosuch")
    with pytest.raises(StartupError) as caught:
        find_application("site_")
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_file_whose_name_is_taken_is_told_of(project: Project) -> None:
    project(json="from flask import Flask; app = Flask('json')")
    text = refusal("json.py")
    assert text.startswith("'json.py' can't be imported: its name is taken by ")
    assert text.endswith("rename the file")


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("shop:asgi", "function"),
        ("shop:framework", "Asgi"),
        ("shop:make_framework", "Asgi"),
        ("shop", "Flask"),
        ("shop:wsgi", "function"),
    ],
)
def test_what_is_mounted_may_be_an_asgi_application(project: Project, target: str, kind: str) -> None:
    project(shop=SHOP + "\n    def make_framework():\n        return framework\n")
    assert type(find_mounted(target)).__name__ == kind


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("shop:nothing", "module 'shop' has no 'nothing'"),
        ("shop:number", "shop:number is an object of type int"),
    ],
)
def test_what_can_not_be_mounted_is_told(project: Project, target: str, told: str) -> None:
    project(shop=SHOP)
    with pytest.raises(StartupError, match=told):
        find_mounted(target)
