# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes the files of a run atomically."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from .events import parse_time

LATEST = "latest"


def write_atomically(path: Path, text: str, mode: int = 0o644) -> bool:
    """Replace a file's content in one step; return whether it changed. An OSError leaves the former content."""
    data = text.encode("utf-8", errors="replace")
    if path.is_file() and path.read_bytes() == data:
        return False
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(name, mode)  # mkstemp makes a private file
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return True


def point_latest(run_dir: Path, started_at: str | None) -> tuple[bool, str | None]:
    """Point the link `latest` in the folder of runs at this run, unless it points at a run that started later.

    Returned are whether the link changed, and a note if it could not be created.
    """
    link = run_dir.parent / LATEST
    if link.exists() and not link.is_symlink():
        return False, f"{link.name} is not a symbolic link; left unchanged"
    if link.is_symlink() and (os.readlink(link) == run_dir.name or _started(link) > _moment(started_at)):
        return False, None
    # A link cannot be replaced in place: create a new one and rename it.
    new = run_dir.parent / f".{LATEST}.{os.getpid()}"
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(run_dir.name, target_is_directory=True)
        os.replace(new, link)
    except OSError as error:
        return False, f"cannot create the link {link.name}: {error.strerror}"
    return True, None


def _started(link: Path) -> datetime:
    """Return the start of the run behind a link; the earliest time if unknown."""
    try:
        receipt = json.loads((link / "receipt.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return _moment(None)
    return _moment(receipt.get("started_at") if isinstance(receipt, dict) else None)


def _moment(value: object) -> datetime:
    """Parse a time; the earliest time if it is invalid."""
    return parse_time(value) or datetime.min.replace(tzinfo=UTC)
