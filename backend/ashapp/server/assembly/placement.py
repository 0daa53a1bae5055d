# SPDX-License-Identifier: MIT
"""Applies the settings for where async views and static files run."""

from ashapp.bridge.loop_or_thread.placement import choose, keeps_all
from ashapp.bridge.loop_or_thread.static_files import STATIC_FILES, keeps_files
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
        if settings.async_views is not None:
            choose(app, settings.async_views)
        if settings.static_files is not None:
            app.config[STATIC_FILES] = settings.static_files
        keeps_all(app)
        keeps_files(app)
    except ValueError as error:
        raise StartupError(f"{settings.app}: {error}") from error
