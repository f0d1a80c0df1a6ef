"""How Sphinx makes the site; `make docs` (tools/documentation) lays out the pages for it first."""

from __future__ import annotations

project = "spot-train"
author = "the maintainers of spot-train"
project_copyright = author

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "index"
# Anchors as a repository browser makes them, so that one link works in both.
myst_heading_anchors = 4
highlight_language = "none"
nitpicky = True

html_theme = "furo"
html_title = "spot-train"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# The day of the build says nothing, and makes two builds of one commit differ.
html_last_updated_fmt = None
html_theme_options = {
    "top_of_page_buttons": [],
    # The fonts of the reader's system: nothing is fetched from anywhere.
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}
