"""Files that another process reads: whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def to_json(document: Mapping[str, Any]) -> bytes:
    """Encode a document the same way every time.

    Args:
        document: JSON types only. Not-a-number is refused, JSON has none: use None.

    Returns:
        UTF-8 text in the document's own key order, with a final newline.

    Raises:
        ValueError: A number is infinite or not a number.
    """
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document atomically: a reader sees the old file or the new one, never half of one.

    Args:
        path: Where; its folder is made if need be.
        document: See `to_json`.

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
        # mkstemp makes it private; whoever fetches the file from the instance may be another user.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
