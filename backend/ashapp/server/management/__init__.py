# SPDX-License-Identifier: MIT
"""For operators: the management port, by HTTP, and the control socket, for ``ashapp status`` and others."""
