# SPDX-License-Identifier: MIT
"""Where operators ask a service: the management port, by HTTP, and the control socket of its user."""
