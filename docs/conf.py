# SPDX-License-Identifier: MIT
"""The documentation site: ``tox -e docs`` builds it, and each warning is an error.

The pages load nothing from elsewhere. What code can tell, the directives of ``generated.py`` take from it.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ashapp import __version__

project = "ashapp"
author = "the ashapp authors"
copyright = "MIT licence"  # noqa: A001 - Sphinx's name
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
# Types that this site does not describe: of other projects, and our own that have no public name.
nitpick_ignore_regex = [(r"py:.*", r"(?!ashapp\.\w+$).*")]

myst_heading_anchors = 4
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}

html_theme = "furo"
html_title = f"ashapp {release}"
html_copy_source = False
html_show_sphinx = False
