#!/usr/bin/env python3
"""Put the collection awx.awx where Ansible finds it, if the Ansible that is running has none.

Usage: `awx_collection.py`. The `ansible` package brings awx.awx up to its version 12, which needs Python 3.11; later
ones do not. It is taken out of the wheel of that version, which requirements.lock pins with its hash, into
`.ansible/collections`, where `ansible.cfg` has Ansible look. No Galaxy is asked.
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

#: The last line of the `ansible` package that has the collection, and the Python whose wheel it is.
LINE = "12"
PYTHON = "3.11"
FOLDER = "ansible_collections/awx/awx/"


class CollectionError(Exception):
    """The collection cannot be had; the text is the one line that the user reads."""


def main(arguments: Sequence[str] | None = None, root: Path | None = None) -> int:
    """Make sure that there is a collection.

    Args:
        arguments: The command line without the program's name.
        root: The project's folder; this script's own by default.

    Returns:
        The exit code: 0 it is there, 1 with one line on standard error.
    """
    argparse.ArgumentParser(
        description="Put the collection awx.awx where Ansible finds it.", allow_abbrev=False
    ).parse_args(arguments)
    root = root or Path(__file__).resolve().parent.parent
    try:
        place(root).mkdir(parents=True, exist_ok=True)
        with (place(root) / "awx.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two of these may come at once
            if not present(root):
                fetch(root)
    except CollectionError as error:
        print(f"awx_collection: {error}", file=sys.stderr)
        return 1
    return 0


def place(root: Path) -> Path:
    """Where the collection is put: below the home that `ansible.cfg` gives Ansible."""
    return root / ".ansible" / "collections"


def present(root: Path) -> bool:
    """Whether this Python's Ansible, or the place, has the collection."""
    if (place(root) / FOLDER / "MANIFEST.json").exists():
        return True
    package = importlib.util.find_spec("ansible_collections")
    locations = (package.submodule_search_locations or []) if package else []
    return any((Path(one) / "awx" / "awx" / "MANIFEST.json").exists() for one in locations)


def fetch(root: Path) -> None:
    """Take the collection out of the pinned wheel.

    Raises:
        CollectionError: It cannot be downloaded, or is not in the wheel.
    """
    requirement = pin((root / "requirements.lock").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "requirements.lock").write_text(requirement, encoding="utf-8")
        command = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        options = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python-version", PYTHON]
        answer = subprocess.run(
            [*command, *options, "--dest", name, "-r", f"{name}/requirements.lock"],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = sorted(folder.glob("ansible-*.whl"))
        if answer.returncode != 0 or not wheels:
            reason = next((line for line in reversed(answer.stderr.splitlines()) if line.strip()), "no reason given")
            raise CollectionError(f"cannot download {requirement.split()[0]}: {reason.strip()}")
        unpack(wheels[0], place(root))


def pin(lock: str) -> str:
    """The pin of the `ansible` package that has the collection, with its hashes and without its marker.

    Raises:
        CollectionError: The lock file has none.
    """
    found = re.search(rf"^(ansible=={LINE}\.\S+)[^\n]*\\\n((?:    --hash=\S+(?: \\)?\n?)+)", lock, re.MULTILINE)
    if not found:
        raise CollectionError(f"requirements.lock pins no ansible {LINE}")
    return f"{found[1]} \\\n{found[2]}"


def unpack(wheel: Path, target: Path) -> None:
    """Put the collection of a wheel into a folder, whole or not at all.

    Raises:
        CollectionError: The wheel has no such collection.
    """
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
