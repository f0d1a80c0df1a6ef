#!/usr/bin/env python3
"""Install the collection awx.awx for the project, unless this Python's Ansible already has it.

Usage: `awx_collection.py`. The `ansible` package contains awx.awx up to version 12, which runs on Python 3.11; later
versions do not. The script extracts it from that version's wheel, which requirements.lock pins with its hash, into
`.ansible/collections`, which `ansible.cfg` lists. It does not contact Galaxy.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

#: The last major version of the `ansible` package that has the collection, and the Python of its wheel.
LINE = "12"
PYTHON = "3.11"
FOLDER = "ansible_collections/awx/awx/"


class CollectionError(Exception):
    """The collection cannot be installed; the text is one line for the user."""


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Install the collection if it is missing; the exit code is 0, or 1 with one line on standard error."""
    parser = argparse.ArgumentParser(description="Install the collection awx.awx for the project.", allow_abbrev=False)
    parser.parse_args(arguments)
    root = root or Path(__file__).resolve().parent.parent
    try:
        place(root).mkdir(parents=True, exist_ok=True)
        with (place(root) / "awx.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another process may install it now
            if not present(root):
                fetch(root)
    except CollectionError as error:
        print(f"awx_collection: {error}", file=sys.stderr)
        return 1
    return 0


def place(root: Path) -> Path:
    """Folder of the collections: below the home that `ansible.cfg` sets."""
    return root / ".ansible" / "collections"


def present(root: Path) -> bool:
    """Whether this Python's Ansible or the project has the collection."""
    if (place(root) / FOLDER / "MANIFEST.json").exists():
        return True
    package = importlib.util.find_spec("ansible_collections")
    locations = (package.submodule_search_locations or []) if package else []
    return any((Path(one) / "awx" / "awx" / "MANIFEST.json").exists() for one in locations)


def fetch(root: Path) -> None:
    """Download the pinned wheel and extract the collection."""
    requirement = pin((root / "requirements.lock").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.lock").write_text(requirement, encoding="utf-8")
        command = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
        places = ["--dest", name, "-r", f"{name}/requirements.lock"]
        answer = subprocess.run([*command, *options, *places], capture_output=True, text=True)
        wheels = sorted(folder.glob("ansible-*.whl"))
        if answer.returncode != 0 or not wheels:
            reason = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "no reason given")
            raise CollectionError(f"cannot download {requirement.split()[0]}: {reason.strip()}")
        unpack(wheels[0], place(root))


def pin(lock: str) -> str:
    """The pin of the `ansible` package, with its hashes but without its marker."""
    found = re.search(rf"^(ansible=={LINE}\.\S+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n?)+)", lock, re.MULTILINE)
    if not found:
        raise CollectionError(f"requirements.lock does not pin ansible {LINE}: run make lock")
    return f"{found[1]} \\\n{found[2]}"


def unpack(wheel: Path, target: Path) -> None:
    """Extract a wheel's collection into a folder, completely or not at all."""
    (target / FOLDER).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory(dir=target.parent) as partial:
        names = [name for name in archive.namelist() if name.startswith(FOLDER)]
        if f"{FOLDER}MANIFEST.json" not in names:
            raise CollectionError(f"{wheel.name} has no {FOLDER}")
        archive.extractall(partial, names)
        shutil.rmtree(target / FOLDER, ignore_errors=True)
        (Path(partial) / FOLDER).rename(target / FOLDER)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
