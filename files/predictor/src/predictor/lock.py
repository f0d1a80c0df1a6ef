"""The lock file: what pip was told to install, and whether that is what is here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from predictor.errors import PredictorError

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
        The pins whose marker holds here, in the file's order.

    Raises:
        PredictorError: The file cannot be read, or a line of it is no exact pin.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PredictorError(f"lock file {path} cannot be read: {error}") from error
    return parse(text, str(path))


def parse(text: str, source: str) -> list[Pin]:
    """Parse the text of a lock file.

    Args:
        text: Its content.
        source: Its name, for messages.

    Returns:
        See `read`.

    Raises:
        PredictorError: A line is no exact pin.
    """
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        bare = _HASH.sub("", re.sub(r"(^|\s)#.*$", "", line)).strip()
        if not bare:
            continue
        try:
            wanted = Requirement(bare)
        except InvalidRequirement as error:
            raise PredictorError(f"lock file {source}: {bare!r} is no requirement: {error}".splitlines()[0]) from error
        exact = [pin.version for pin in wanted.specifier if pin.operator == "=="]
        if len(wanted.specifier) != 1 or not exact or "*" in exact[0]:
            raise PredictorError(f"lock file {source}: {bare!r} pins no exact version")
        if wanted.marker is None or wanted.marker.evaluate():
            pins.append(Pin(canonicalize_name(wanted.name), exact[0]))
    return pins


def deviations(pins: list[Pin]) -> list[str]:
    """Compare pins with what is installed for this interpreter.

    Returns:
        One text for each pin that does not hold: `numpy wanted 2.4.6, found 2.4.5` or `…, missing`.
    """
    from importlib.metadata import PackageNotFoundError, version

    from packaging.version import InvalidVersion, Version

    found = []
    for pin in pins:
        try:
            installed = version(pin.name)
        except PackageNotFoundError:
            found.append(f"{pin.name} wanted {pin.version}, missing")
            continue
        try:
            same = Version(installed) == Version(pin.version)
        except InvalidVersion:
            same = False
        if not same:
            found.append(f"{pin.name} wanted {pin.version}, found {installed}")
    return found
