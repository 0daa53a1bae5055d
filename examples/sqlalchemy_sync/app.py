# SPDX-License-Identifier: MIT
"""A guestbook: sync views, Flask-SQLAlchemy, tables by Flask-Migrate, PostgreSQL."""

import os

import flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


app = flask.Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ.get(
    "DATABASE_URL", "postgresql+psycopg://localhost/guestbook"
)
db = SQLAlchemy(app, model_class=Base)
migrate = Migrate(app, db)


class Entry(db.Model):
    id: Mapped[int] = mapped_column(primary_key=True)
    guest: Mapped[str] = mapped_column(index=True)
    text: Mapped[str] = mapped_column(db.String(200))


@app.get("/entries")
def entries():
    newest = db.select(Entry).order_by(Entry.id.desc()).limit(100)
    return [{"guest": entry.guest, "text": entry.text} for entry in db.session.scalars(newest)]


@app.get("/guests/<guest>")
def guest(guest):
    count = db.select(db.func.count(Entry.id)).where(Entry.guest == guest)
    return {"entries": db.session.scalar(count)}


@app.post("/guests/<guest>")
def sign(guest):
    text = flask.request.form["text"]
    if len(text) > 200:
        return {"error": f"the text has {len(text)} characters; at most 200 are allowed"}, 400
    entry = Entry(guest=guest, text=text)
    db.session.add(entry)
    db.session.commit()
    return {"id": entry.id}, 201
