"""The lock file, compared with the installed packages."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import PredictorError

OF_THE_ENVIRONMENT = ("pip", "setuptools")

_HASH = re.compile(r"\s--hash=\S+")


@dataclass(frozen=True)
class Pin:
    """One pinned package: its canonical name and exact version."""

    name: str
    version: str


def read(path: Path) -> list[Pin]:
    """Read the pins that apply to this interpreter.

    Args:
        path: A requirements file with `name==version`, an optional marker, and hashes.

    Returns:
        The pins whose marker applies to this interpreter, in the file's order.

    Raises:
        PredictorError: The file cannot be read, or a line is not an exact pin.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorError(f"cannot read lock file {path}: {error}") from error
    return parse(text, str(path))


def digest(path: Path) -> str:
    """SHA-256 of a lock file, in hexadecimal.

    Raises:
        PredictorError: It cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise PredictorError(f"cannot read lock file {path}: {error}") from error


def parse(text: str, source: str) -> list[Pin]:
    """Parse the text of a lock file.

    Args:
        text: Its content.
        source: Its name, for messages.

    Returns:
        See `read`.

    Raises:
        PredictorError: A line is not an exact pin.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        bare = _HASH.sub("", re.sub(r"(^|\s)#.*$", "", line)).strip()
        if not bare:
            continue
        try:
            found = Requirement(bare)
        except InvalidRequirement:
            raise PredictorError(f"lock file {source}: expected name==version, got {bare!r}") from None
        exact = [pin.version for pin in found.specifier if pin.operator == "=="]
        if len(found.specifier) != 1 or not exact or "*" in exact[0]:
            raise PredictorError(f"lock file {source}: expected name==version, got {bare!r}")
        if found.marker is None or found.marker.evaluate():
            pins.append(Pin(canonicalize_name(found.name), exact[0]))
    return pins


def deviations(pins: list[Pin]) -> list[str]:
    """The pins that are not installed: `numpy: expected 2.4.6, got 2.4.5 (older)` or `numpy: expected …, missing`."""
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for pin in pins:
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            found.append(f"{pin.name}: expected {pin.version}, missing")
            continue
        if drift := _drift(installed, pin.version):
            found.append(f"{pin.name}: expected {pin.version}, got {installed} ({drift})")
    return found


def _drift(installed: str, expected: str) -> str:
    """How an installed version differs from the expected one; empty if it does not."""
    from packaging.version import InvalidVersion, Version

    try:
        here, there = Version(installed), Version(expected)
    except InvalidVersion:
        return "different"
    if here == there:
        return ""
    return "older" if here < there else "newer"


def extras(pins: list[Pin]) -> list[str]:
    """Installed packages that are not pinned, as `name version`, sorted; without this package and those of `venv`."""
    known = {pin.name for pin in pins} | {"predictor", *OF_THE_ENVIRONMENT}
    return [f"{name} {version}" for name, version in installed().items() if name not in known]


def installed() -> dict[str, str]:
    """Version by canonical name of every installed package, sorted."""
    from packaging.utils import canonicalize_name

    return dict(sorted((canonicalize_name(item.name), item.version) for item in _installed()))


def changed_files() -> tuple[list[str], int]:
    """Compare the files of every installed package with its `RECORD`.

    `RECORD` has the SHA-256 of each file in unpadded URL-safe base64 (specification "Recording installed projects").

    Returns:
        The differences, as `path missing`, `path differs` or `package has no RECORD`, sorted; and the number of files.
    """
    from concurrent.futures import ThreadPoolExecutor

    wrong: list[str] = []
    entries = []
    for item in _installed():
        files = item.files
        if files is None:
            wrong.append(f"{item.name} has no RECORD")
        else:
            # Compiled files (.pyc) and RECORD itself have no hash.
            entries += [entry for entry in files if entry.hash is not None]
    # Hashing releases the interpreter lock.
    with ThreadPoolExecutor() as pool:
        wrong += filter(None, pool.map(_compare, entries))
    return sorted(wrong), len(entries)


def _compare(entry: Any) -> str | None:
    try:
        content = entry.locate().read_bytes()
        digest = hashlib.new(entry.hash.mode, content).digest()
    except FileNotFoundError:
        return f"{entry} missing"
    except (OSError, ValueError) as error:
        return f"{entry} cannot be read: {error}"
    same = base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == entry.hash.value
    return None if same else f"{entry} differs"


def _installed() -> list[Any]:
    """The installed distributions, the first of each name: it shadows later ones."""
    from importlib.metadata import distributions

    from packaging.utils import canonicalize_name

    found: dict[str, Any] = {}
    for item in distributions():
        # A broken installation may leave a folder without metadata; its package then counts as missing.
        if item.metadata is not None and item.name:
            found.setdefault(canonicalize_name(item.name), item)
    return list(found.values())
