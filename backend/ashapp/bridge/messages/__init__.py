# SPDX-License-Identifier: MIT
"""Messages between a server and an application: environ, header fields, responses, problems. No I/O."""
