# SPDX-License-Identifier: MIT
"""Applies the settings for where async views and static files run."""

from ashapp.bridge.loop_or_thread.marks import ASYNC_VIEWS, STATIC_FILES, keeps_on_threads
from ashapp.server.errors import StartupError
from ashapp.server.introspection.routes import flask_application
from ashapp.server.settings.model import Settings

__all__ = ["place_views"]


def place_views(found: object, settings: Settings) -> None:
    """Let async views and static files of what was *found* run where the settings say, or its own config.

    Raises:
        StartupError: the config has a value that is not allowed.
    """
    app = flask_application(found)
    if app is None:
        return
    try:
        for key, place in ((ASYNC_VIEWS, settings.async_views), (STATIC_FILES, settings.static_files)):
            if place is not None:
                app.config[key] = place
            keeps_on_threads(app, key)
    except ValueError as error:
        raise StartupError(f"{settings.app}: {error}") from error
