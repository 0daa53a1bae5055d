# SPDX-License-Identifier: MIT
"""The settings of the service. ``model`` joins the groups, of which there is one for each concern."""

from ashapp.server.settings.model import REFERENCE_API, ServerSettings, Settings

__all__ = ["REFERENCE_API", "ServerSettings", "Settings"]
