# SPDX-License-Identifier: MIT
"""How a service is started: in one process, in workers below a supervisor, or with a reloader."""
