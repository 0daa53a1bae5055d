# SPDX-License-Identifier: MIT
"""The settings of the service. ``model`` joins the groups of them."""

from ashapp.server.settings.model import REFERENCE_API, ServerSettings, Settings

__all__ = ["REFERENCE_API", "ServerSettings", "Settings"]
