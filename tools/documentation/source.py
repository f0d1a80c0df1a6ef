"""The site's sources: the project's Markdown pages, laid out as Sphinx wants them.

The pages are written for a repository browser, with relative links to each other and to files beside them. Here a page
gets its place in the site, every link is turned to where its target is there, and a file or folder that a page links to
becomes a page that shows it. The navigation is read from `docs/index.md`: each of its sections is a part of it, and the
pages linked in a section are its entries, in that order.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Iterator
from pathlib import Path

INDEX = "docs/index.md"
#: Pages of `docs/` that no section of the index links to: they are in the site all the same.
REST = "More"
#: Tells Sphinx that a page is in no navigation on purpose.
ORPHAN = "---\norphan: true\n---\n\n"
# Code, which holds no links: fenced blocks, then pieces in a line.
CODE = re.compile(r"(^ *```.*?^ *```[^\n]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
EXTERNAL = re.compile(r"[a-z][a-z+.-]*:", re.IGNORECASE)
LANGUAGES = {".json": "json", ".py": "python", ".yml": "yaml", ".yaml": "yaml", ".sh": "sh", ".toml": "toml"}


class BrokenLinkError(Exception):
    """A link of a page leads nowhere."""


def prose(text: str) -> Iterator[str]:
    """The parts of a page that are no code."""
    return (part for number, part in enumerate(CODE.split(text)) if number % 2 == 0)


def links(text: str) -> list[str]:
    """The targets of a page's links and pictures, in order."""
    return [target for part in prose(text) for target in LINK.findall(part)]


def turn(text: str, turned: Callable[[str], str]) -> str:
    """A page with each link's target replaced."""
    parts = CODE.split(text)
    parts[::2] = [LINK.sub(lambda match: turned(match.group()), part) for part in parts[::2]]
    return "".join(parts)


def place(path: str) -> str:
    """Where a page of the project is in the site, without its ending.

    Args:
        path: The page's path in the project, with slashes.
    """
    stem = path.removesuffix(".md")
    if stem.endswith("/README"):
        return stem.removesuffix("/README")
    if stem.startswith("docs/"):
        return stem.removeprefix("docs/")
    return stem.lower()


class Layout:
    """The pages of a project, and of each where it goes.

    Attributes:
        root: The project's folder.
        own: The pages in `docs/`, as paths in the project.
        pages: Text of each page of the site, by its name there without its ending.
        origins: Of each page that is one of the project's, its path there.
        pictures: Pictures by their name in the site.
        external: Addresses outside the project that the pages link to, with the pages that do.
    """

    def __init__(self, root: Path) -> None:
        """Lay out everything that `docs/` holds, and what is linked from there.

        Raises:
            BrokenLinkError: A link leads to nothing in the project.
        """
        self.root = root
        self.pages: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        self.pictures: dict[str, Path] = {}
        self.external: dict[str, set[str]] = {}
        self.own = sorted(f"docs/{path.name}" for path in (root / "docs").glob("*.md"))
        self._waiting = self.own[:]
        self._begun = set(self.own)
        while self._waiting:
            self._add(self._waiting.pop(0))
        sections = self.sections()
        entries = {name for names in sections.values() for name in names}
        self._orphans = self.pages.keys() - entries - {"index"}
        for name in self._orphans:
            self.pages[name] = ORPHAN + self.pages[name]
        self.pages["index"] += "".join(_toctree(caption, names) for caption, names in sections.items() if names)

    def sections(self) -> dict[str, list[str]]:
        """The navigation: entries by the section of the index that links to them, each page once."""
        sections: dict[str, list[str]] = {}
        entered: set[str] = {"index"}
        text = (self.root / INDEX).read_text(encoding="utf-8")
        for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
            caption, _, body = section.partition("\n")
            names = sections.setdefault(caption.strip(), [])
            for target in links(body):
                path = _resolve(INDEX, target.partition("#")[0])
                if not EXTERNAL.match(target) and path.endswith(".md") and place(path) not in entered:
                    entered.add(place(path))
                    names.append(place(path))
        sections[REST] = [place(path) for path in self.own if place(path) not in entered]
        return sections

    def write(self, folder: Path) -> None:
        """Write all pages and pictures into a folder."""
        wanted = {f"{name}.md": text.encode() for name, text in self.pages.items()}
        wanted |= {name: path.read_bytes() for name, path in self.pictures.items()}
        for name, content in wanted.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def told(self, folder: Path, line: str) -> str:
        """A line that names a page of the site by file and line, naming it as it is in the project.

        Args:
            folder: Where the pages were written.
            line: For example a warning of Sphinx's.
        """
        match = re.match(rf"{re.escape(str(folder))}/(.+?)\.md:(\d+):", line)
        if match is None or match[1] not in self.origins:
            return line
        number = int(match[2]) - (ORPHAN.count("\n") if match[1] in self._orphans else 0)
        return f"{self.origins[match[1]]}:{number}:{line[match.end() :]}"

    def _add(self, path: str) -> None:
        text = (self.root / path).read_text(encoding="utf-8")
        self.origins[place(path)] = path
        self.pages[place(path)] = turn(text, lambda target: self._target(path, target))

    def _target(self, page: str, target: str) -> str:
        """A link of a page as it is in the site."""
        if EXTERNAL.match(target):
            self.external.setdefault(target, set()).add(page)
            return target
        path, hash_, anchor = target.partition("#")
        if not path:
            return target
        path = _resolve(page, path)
        if path.startswith("../") or not (self.root / path).exists():
            raise BrokenLinkError(f"{page}: {target} leads nowhere")
        return posixpath.relpath(self._name(path), posixpath.dirname(place(page)) or ".") + hash_ + anchor

    def _name(self, path: str) -> str:
        """The name in the site, with its ending, of something in the project, which is put there if it is not yet."""
        if path.endswith(".md"):
            if path not in self._begun:
                self._begun.add(path)
                self._waiting.append(path)
            return f"{place(path)}.md"
        if path.endswith((".png", ".svg")):
            name = path.removeprefix("docs/")
            self.pictures[name] = self.root / path
            return name
        folder = (self.root / path).is_dir()
        name = f"source/{path}" + ("/index" if folder else "")
        if name not in self.pages:
            self.pages[name] = ""  # so that a folder that lists itself comes to an end
            self.pages[name] = self._listing(path) if folder else _shown(path, (self.root / path).read_text())
        return f"{name}.md"

    def _listing(self, folder: str) -> str:
        """A page with the files of a folder."""
        inside = [entry for entry in sorted((self.root / folder).iterdir()) if entry.is_file()]
        lines = []
        for entry in inside:
            path = f"{folder}/{entry.name}"
            to = posixpath.relpath(self._name(path), f"source/{folder}")
            lines.append(f"- [{entry.name}]({to})\n")
        return f"# {folder}/\n\n" + "".join(lines)


def _resolve(page: str, target: str) -> str:
    """The path in the project that a relative link leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _shown(path: str, text: str) -> str:
    """A page that shows a file."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    language = LANGUAGES.get(os.path.splitext(path)[1], "none")
    return f"# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n"


def _toctree(caption: str, names: list[str]) -> str:
    entries = "\n".join(names)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{entries}\n```\n"
