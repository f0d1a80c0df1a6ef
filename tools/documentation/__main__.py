"""`make docs`: the documentation as a site of its own, from the Markdown pages of the project. Needs no network."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tools.documentation.check import bad_addresses, problems
from tools.documentation.source import REST, BrokenLinkError, Layout

#: Sphinx leaves it in every site.
MARK = ".buildinfo"
ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Build the site and check it; 1, and a line for each problem, if anything is wrong.

    Args:
        arguments: The command line.
        root: The project whose pages they are.
    """
    options = _parser().parse_args(arguments)
    try:
        layout = Layout(root)
    except BrokenLinkError as error:
        return _failed([str(error)])
    if options.external:
        for address, pages in sorted(layout.external.items()):
            print(f"{address}  {', '.join(sorted(pages))}")
    bad = [f"{', '.join(sorted(layout.external[each]))}: {each}" for each in bad_addresses(sorted(layout.external))]
    if bad:
        return _failed([f"{line} is no address that a browser could open" for line in bad])
    site: Path = options.output.resolve()
    if site.exists() and any(site.iterdir()) and not (site / MARK).is_file():
        return _failed([f"{site} holds something else than a site: choose another folder"])
    # All of it anew, in seconds: what is left of an older site would be neither right nor checked.
    if site.exists():
        shutil.rmtree(site)
    with tempfile.TemporaryDirectory(prefix="docs-") as work:
        sources = Path(work) / "source"
        layout.write(sources)
        # As a program of its own, with warnings as errors: it says them all before it fails.
        # Its lines are read here, so never in colour, whatever CI or FORCE_COLOR ask of a terminal.
        command = [sys.executable, "-m", "sphinx", "--quiet", "--no-color", "--fail-on-warning", "--builder", "html"]
        command += ["--conf-dir", str(ROOT / "docs"), "--doctree-dir", f"{work}/doctrees", str(sources), str(site)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        lines = (answer.stdout + answer.stderr).splitlines()
        return _failed([layout.told(sources, line) for line in lines] or ["Sphinx failed and said nothing"])
    wrong = problems(site)
    if wrong:
        return _failed(wrong)
    for name in layout.sections()[REST]:
        print(f"docs/{name}.md is in no section of docs/index.md, and so in the site under {REST!r}")
    print(f"{len(layout.pages)} pages, {len(layout.external)} links to other sites (--external lists them)")
    print(f"{site}/index.html")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.documentation", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--output", type=Path, default=ROOT / ".cache" / "site", metavar="DIR", help="where the site goes (.cache/site)"
    )
    parser.add_argument("--external", action="store_true", help="also list the links to other sites, which nobody asks")
    return parser


def _failed(lines: list[str]) -> int:
    for line in lines:
        print(line, file=sys.stderr)
    print("make docs: failed", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
