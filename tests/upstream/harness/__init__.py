# SPDX-License-Identifier: MIT
"""pytest plugins for the test suites of other projects: how their requests are made, and how they end.

They are loaded by name in a process of their own (``-p harness.through_bridge``), so within this
package imports are relative.
"""
