"""The documentation as a site, hosted nowhere: ``uv run sphinx-build -W --keep-going -c docs/site . out/site``.

Sphinx with MyST and the theme Furo. Decided by what the pages are: plain Markdown that GitHub shows too, whose links
lead to each other and to studies, figures and code, and docstrings of 200 public names. Sphinx takes the repository as
its source, so that every page stays what and where it is, checks every link and docstring with ``-W``, and asks for
nothing off the machine: its search is its own, Furo takes the system's fonts, and formulas become MathML when the site
is built. Rejected: mkdocs-material, which is no longer developed further, wants all pages below one folder, and loads
fonts and MathJax from elsewhere unless told not to; Quarto and notebooks, which would run the examples a second time
(tests/test_documents.py runs them).
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

project = "bayes_clv"
author = "The bayes_clv developers"
copyright = "The bayes_clv developers, MIT"  # noqa: A001

extensions = [
    *("myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"),
    *("mathml", "reference", "accessible", "lessons"),
]
root_doc = "docs/site/index"
include_patterns = [
    "docs/site/*.md",
    "docs/site/reference/*.rst",
    "docs/*.md",
    "README.md",
    "CHANGELOG.md",
    "studies/README.md",
    "bayes_clv/customers/data/README.md",
]
exclude_patterns = ["out", ".venv", "**/__pycache__"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
nitpicky = False

autodoc_typehints = "signature"
autodoc_member_order = "alphabetical"
autodoc_default_options = {"members": True, "imported-members": True}
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = "bayes_clv"
html_extra_path = ["extra"]
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["static"]
html_css_files = ["reading.css"]
