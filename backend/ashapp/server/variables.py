# SPDX-License-Identifier: MIT
"""The environment variables of settings, for those who must not wait until the settings are imported."""

import re
from collections.abc import Mapping

__all__ = ["CUSTOMARY", "is_service_link", "variable"]

#: Variables that platforms and other servers use for the same settings.
CUSTOMARY: Mapping[str, str] = {
    "app": "FLASK_APP",
    "workers": "WEB_CONCURRENCY",
    "port": "PORT",
    "forwarded_allow_ips": "FORWARDED_ALLOW_IPS",
}

_SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


def variable(name: str) -> str:
    """Return the name of the environment variable for a setting."""
    return f"ASHAPP_{name.upper()}"


def is_service_link(name: str, value: str | None) -> bool:
    """Say whether the variable *name* is what Kubernetes sets for a Service, not a port to listen on.

    A Service named "ashapp" or "ashapp-management" sets ``ASHAPP_PORT`` or ``ASHAPP_MANAGEMENT_PORT`` (see
    "service links") to a URL.
    """
    return name.upper().endswith("_PORT") and bool(value and _SERVICE_LINK.match(value))
