# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses without the user and password in them: a training source may be a private repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Up to the last @ before the path: a password may hold one.
_CREDENTIALS = re.compile(r"(\w+://)[^/\s]*@")


def without_credentials(value: Any) -> Any:
    """Remove user and password from every address in a value, at any depth."""
    if isinstance(value, Mapping):
        return {key: without_credentials(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(entry) for entry in value]
    return _CREDENTIALS.sub(r"\1", value) if isinstance(value, str) else value
