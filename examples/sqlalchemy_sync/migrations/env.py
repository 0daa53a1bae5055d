# SPDX-License-Identifier: MIT
"""How Alembic reaches the tables: by the application's engine and models."""

import flask
from alembic import context

db = flask.current_app.extensions["migrate"].db

with db.engine.connect() as connection:
    context.configure(connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
