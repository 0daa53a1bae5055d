# SPDX-License-Identifier: MIT
"""A Flask application as people write them, which knows nothing of the server that it runs on."""

import asyncio
import csv
import io
import sqlite3
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from flask import (
    Blueprint,
    Flask,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    send_file,
    session,
    stream_with_context,
    url_for,
)
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

SCHEMA = "CREATE TABLE IF NOT EXISTS entry (id INTEGER PRIMARY KEY, name TEXT, words TEXT, image BLOB)"

visitor: ContextVar[str] = ContextVar("visitor")
databases_open = 0

pages = Blueprint("pages", __name__)
api = Blueprint("api", __name__, url_prefix="/api")


def database() -> sqlite3.Connection:
    """Return the request's connection, which only the thread that made it may use."""
    global databases_open  # noqa: PLW0603 - a counter
    if "database" not in g:
        g.database = sqlite3.connect(current_app.config["DATABASE"], timeout=20)
        g.database.row_factory = sqlite3.Row
        databases_open += 1
    connection: sqlite3.Connection = g.database
    return connection


def close_database(_error: BaseException | None) -> None:
    global databases_open  # noqa: PLW0603 - a counter
    connection = g.pop("database", None)
    if connection is not None:
        connection.close()
        databases_open -= 1


@pages.get("/")
def index() -> str:
    return render_template("page.html", entries=database().execute("SELECT * FROM entry ORDER BY id"))


@pages.post("/login")
def login() -> ResponseReturnValue:
    session.clear()
    session["name"] = request.form["name"]
    session.permanent = "remember" in request.form
    flash(f"Welcome, {session['name']}!")
    return redirect(url_for("pages.index"))


@pages.get("/logout")
def logout() -> ResponseReturnValue:
    session.clear()
    return redirect(url_for("pages.index", _external=True))


@pages.post("/entries")
def add() -> ResponseReturnValue:
    if "name" not in session:
        abort(403)
    image = request.files["image"].read() if "image" in request.files else None
    with database() as connection:
        row = (session["name"], request.form["words"], image)
        number = connection.execute("INSERT INTO entry (name, words, image) VALUES (?, ?, ?)", row).lastrowid
    flash("Thank you!")
    return redirect(url_for("pages.show", number=number), 303)


@pages.get("/entries/<int:number>")
def show(number: int) -> ResponseReturnValue:
    entry = database().execute("SELECT * FROM entry WHERE id = ?", [number]).fetchone()
    if entry is None:
        abort(404)
    return render_template("page.html", entries=[entry])


@pages.get("/entries/<int:number>/image")
def image(number: int) -> ResponseReturnValue:
    (content,) = database().execute("SELECT image FROM entry WHERE id = ?", [number]).fetchone()
    return send_file(io.BytesIO(content), "image/png", download_name="bild é.png", etag=f"image-{number}")


@pages.get("/export.csv")
def export() -> Response:
    def lines() -> Iterator[str]:
        # The session and the connection are still there, and the thread is the one that opened it.
        yield f"# for {session.get('name', 'nobody')}\r\n"
        for _ in range(request.args.get("times", 1, int)):
            for row in database().execute("SELECT id, name, words FROM entry ORDER BY id"):
                line = io.StringIO()
                csv.writer(line).writerow(row)
                yield line.getvalue()

    return Response(stream_with_context(lines()), mimetype="text/csv")


@pages.app_errorhandler(404)
def not_found(_error: HTTPException) -> ResponseReturnValue:
    return render_template("page.html", entries=[], missing=request.path), 404


@api.before_request
async def authenticate() -> None:
    await asyncio.sleep(0)
    g.order.append("async hook")


@api.get("/gather/<int:count>")
async def gather(count: int) -> dict[str, Any]:
    async def one(number: int) -> str:
        await asyncio.sleep(0.1)
        return f"{visitor.get()} {number}"

    g.order.append("async view")
    return {"found": await asyncio.gather(*map(one, range(count))), "name": session.get("name")}


@api.get("/where")
def where() -> dict[str, Any]:
    return {
        "address": request.remote_addr,
        "url": request.url,
        "home": url_for("pages.index", _external=True),
        "root": request.script_root,
    }


@api.get("/bug")
def bug() -> ResponseReturnValue:
    raise RuntimeError("a bug")


@api.get("/state")
def state() -> dict[str, Any]:
    return {"databases_open": databases_open}


def create_app(database: str = "guestbook.sqlite") -> Flask:
    app = Flask(__name__)
    app.secret_key = "b3c1e2f94d6a7085"
    app.config.update(DATABASE=Path(database).resolve(), MAX_CONTENT_LENGTH=4 << 20)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]
    app.register_blueprint(pages)
    app.register_blueprint(api)
    with sqlite3.connect(app.config["DATABASE"]) as connection:
        connection.execute(SCHEMA)

    @app.before_request
    def begin() -> None:
        g.order = ["hook"]
        g.found = visitor.get("nobody")
        visitor.set(request.args.get("visitor", "someone"))

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Order"] = ", ".join([*g.order, "after"])
        response.headers["X-Found"] = g.found
        response.headers["X-Visitor"] = visitor.get()
        return response

    app.teardown_appcontext(close_database)
    return app


app = create_app()

if __name__ == "__main__":
    app.run(debug=True)
