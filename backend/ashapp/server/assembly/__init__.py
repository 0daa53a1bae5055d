# SPDX-License-Identifier: MIT
"""Makes the ASGI application of a worker by its settings: finds it, and puts all layers around it."""
