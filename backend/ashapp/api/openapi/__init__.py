# SPDX-License-Identifier: MIT
"""How operations are declared and validated, and the OpenAPI document that is made of that."""
