"""Files that another process reads, written atomically."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_json(document: Mapping[str, Any]) -> bytes:
    """Encode a document as UTF-8 JSON, in its own key order, with a final newline.

    Raises:
        ValueError: A number is infinite or NaN; use None.
    """
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document atomically, creating its folder if necessary.

    Raises:
        OSError: The folder cannot be written.
        ValueError: See `to_json`.
    """
    content = to_json(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes it private, but another user may fetch it from the instance.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
