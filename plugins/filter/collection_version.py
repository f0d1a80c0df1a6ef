# Copyright: spot-train contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter that returns the version of a collection on the control node."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

DOCUMENTATION = """
name: collection_version
short_description: Version of a collection
description:
  - Reads it from the collection's C(MANIFEST.json), which C(ansible-galaxy) and the C(ansible) package install with it.
options:
  _input:
    description: Full name of the collection.
    type: str
    required: true
"""

EXAMPLES = """
- ansible.builtin.debug:
    msg: "{{ 'amazon.aws' | spot_train.core.collection_version }}"
"""

RETURN = """
_value:
  description: The version; null if the collection is missing, or a working copy, which has no manifest.
  type: str
"""


def collection_version(name: str) -> str | None:
    """Return the version of a collection such as ``amazon.aws``, None if it is unknown."""
    try:
        manifest = files(f"ansible_collections.{name}") / "MANIFEST.json"
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    except (ImportError, FileNotFoundError):
        return None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"collection_version": collection_version}
