"""What a finished site must be: every link inside leads somewhere, and nothing is fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Attributes that a browser follows by itself; of `link` only these relations.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
FETCHED_RELATIONS = {"stylesheet", "icon", "preload", "prefetch", "preconnect", "dns-prefetch"}
IN_STYLES = re.compile(r"""url\(\s*['"]?((?:https?:)?//[^'")]+)|@import\s+['"]((?:https?:)?//[^'"]+)""")


class Page(HTMLParser):
    """One page: its anchors, the links that a reader follows, and what the browser fetches."""

    def __init__(self, text: str) -> None:
        """Read a page."""
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag names or leads to."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in FETCHED and FETCHED[tag] in given:
            self.fetched.append(given[FETCHED[tag]])
        if tag == "link" and "href" in given and set(given.get("rel", "").split()) & FETCHED_RELATIONS:
            self.fetched.append(given["href"])


def problems(site: Path) -> list[str]:
    """What is wrong with a site, one line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site).as_posix()
        for target in page.links + page.fetched:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            to = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if to.is_dir():
                to /= "index.html"
            if not to.is_relative_to(site.resolve()) or not to.is_file():
                found.append(f"{name}: {target} leads nowhere")
            elif parts.fragment and to in pages and unquote(parts.fragment) not in pages[to].anchors:
                found.append(f"{name}: {target} names no anchor of its page")
        found += [f"{name}: {target} is fetched from elsewhere" for target in page.fetched if _elsewhere(target)]
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        for groups in IN_STYLES.findall(path.read_text(encoding="utf-8")):
            found.append(f"{name}: {''.join(groups)} is fetched from elsewhere")
    return found


def bad_addresses(addresses: Iterable[str]) -> list[str]:
    """The links to other sites that cannot be right as they are written; none is asked."""
    bad = []
    for address in addresses:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            bad.append(address)
            continue
        named = re.fullmatch(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", host) is not None
        mail = parts.scheme == "mailto" and re.fullmatch(r"[^@\s]+@[^@\s]+\.[a-z]{2,}", parts.path) is not None
        if not (mail or (parts.scheme == "https" and named and port is None)):
            bad.append(address)
    return bad


def _elsewhere(target: str) -> bool:
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme in ("http", "https")
