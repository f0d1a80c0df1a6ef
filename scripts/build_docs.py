"""`make docs`: the documentation as a site of its own, from the Markdown pages of the project. Needs no network."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.docs_check import bad_addresses, problems
from scripts.docs_source import REST, BrokenLinkError, Layout

ROOT = Path(__file__).resolve().parents[1]


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
    site: Path = options.output
    work = site.parent / f"{site.name}-work"
    layout.write(work / "source")
    # As a program of its own, with warnings as errors: it says them all before it fails.
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html"]
    command += ["--conf-dir", str(ROOT / "docs"), "--doctree-dir", str(work / "doctrees")]
    code = subprocess.run([*command, str(work / "source"), str(site)], check=False).returncode
    if code:
        return _failed([f"Sphinx ended with code {code}"])
    wrong = problems(site)
    if wrong:
        return _failed(wrong)
    for name in layout.sections()[REST]:
        print(f"docs/{name}.md is in no section of docs/index.md, and so in the site under {REST!r}")
    print(f"{len(layout.pages)} pages, {len(layout.external)} links to other sites (--external lists them)")
    print(f"{site}/index.html")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.build_docs", description=__doc__, allow_abbrev=False)
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
