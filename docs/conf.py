"""The documentation site: every README.md and page of docs/, in place. `make docs` builds it with Sphinx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder

project = "spot-train"
author = "the maintainers of spot-train"
project_copyright = author

extensions = ["myst_parser"]
include_patterns = ["*.md", "docs/*.md", "**/README.md"]
# `collections` holds a link back to this folder.
exclude_patterns = [".*", "**/.*", "collections", "runs"]
root_doc = "docs/index"
# Anchors as a repository browser makes them. A link with another scheme is an error.
myst_heading_anchors = 4
myst_url_schemes = ["https", "mailto"]
highlight_language = "none"
nitpicky = True

html_theme = "furo"
html_title = "spot-train"
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# No date of the build, so that two builds of one commit are equal.
html_last_updated_fmt = None
html_theme_options = {
    "top_of_page_buttons": [],
    # The fonts of the reader's system: nothing is fetched from anywhere.
    "light_css_variables": {"font-stack": "system-ui, sans-serif"},
}

#: Pages whose tables are the navigation: the first cell of a row links to a page.
INDEXES = {"docs/index", "roles/README"}
#: Files and folders that the pages link to.
SHOWN: set[Path] = set()


def add_navigation(_: Sphinx, docname: str, source: list[str]) -> None:
    """Append a table of contents for each section of an index."""
    for section in re.split(r"^##? ", source[0], flags=re.MULTILINE) if docname in INDEXES else []:
        if pages := re.findall(r"^\| \[[^]]+\]\(([^):#]+\.md)\) \|", section, re.MULTILINE):
            caption = section.splitlines()[0]
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])


def link_to_sources(app: Sphinx, doctree: nodes.document) -> None:
    """Turn links to files and folders that are not pages into links to pages that show them."""
    docname = app.env.docname
    if not docname.startswith("docs/"):
        app.env.metadata[docname]["orphan"] = True  # need not be in the navigation
    for node in [*doctree.findall(addnodes.download_reference), *doctree.findall(addnodes.pending_xref)]:
        path = Path(app.env.relfn2path(node["reftarget"], docname)[1])
        if node["refdomain"] is None and path.exists() and path.is_relative_to(app.srcdir):
            SHOWN.update([path, *(each for each in path.glob("*") if each.is_file())])
            uri = app.builder.get_relative_uri(docname, page_of(app, path))
            node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def page_of(app: Sphinx, path: Path) -> str:
    """The name of the page that shows a file or folder."""
    return f"source/{path.relative_to(app.srcdir).as_posix()}" + ("/index" if path.is_dir() else "")


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield the pages that show files and folders, and the site's front page, which leads to the index."""
    assert isinstance(app.builder, StandaloneHTMLBuilder)
    for path in sorted(SHOWN):
        if path.is_dir():
            names = sorted(each.name for each in path.iterdir() if each.is_file())
            items = "".join(f'<li><a href="{name}.html">{name}</a></li>' for name in names)
            body = f"<ul>{items}</ul>"
        else:
            language = path.suffix[1:].replace("yml", "yaml") or "none"
            body = app.builder.highlighter.highlight_block(path.read_text(encoding="utf-8"), language)
        title = path.relative_to(app.srcdir).as_posix()
        yield page_of(app, path), {"title": title, "body": f"<h1>{title}</h1>{body}"}, "page.html"
    refresh = f'<meta http-equiv="refresh" content="0; url={root_doc}.html">'
    yield "index", {"title": project, "metatags": refresh, "body": ""}, "page.html"


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("source-read", add_navigation)
    app.connect("doctree-read", link_to_sources, priority=400)  # before Sphinx collects downloads
    app.connect("html-collect-pages", source_pages)
