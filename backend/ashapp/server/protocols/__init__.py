# SPDX-License-Identifier: MIT
"""uvicorn's HTTP/1.1 protocols, with limits for what a client may send, and for how long it may take.

uvicorn itself waits for ever for a head or a body that does not come, and for a client that does not read;
with httptools it takes heads of any size.
"""

from ashapp.server.protocols.choice import limited_protocol
from ashapp.server.protocols.messages.limits import ConnectionLimits

__all__ = ["ConnectionLimits", "limited_protocol"]
