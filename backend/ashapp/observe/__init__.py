# SPDX-License-Identifier: MIT
"""What a running service tells of itself. Imports neither the bridge nor the server."""
