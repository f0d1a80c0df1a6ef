"""Filter that replaces the placeholders of a command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.spot_train.core.plugins.module_utils.inputs import placeholders as run_placeholders

DOCUMENTATION = r"""
name: fill_placeholders
short_description: Replace the placeholders of a command
description:
  - Replaces each C({name}) in an argument list with its value.
options:
  _input:
    description: Program and arguments.
    type: list
    elements: str
    required: true
  values:
    description: Values by placeholder. A placeholder without a value is an error.
    type: dict
    required: true
  programs:
    description: Folder of a program that is given without a path.
    type: str
    default: ""
"""

EXAMPLES = r"""
# ['/opt/venv/bin/trainer', '--bucket=prices']
argv: >-
  {{ ['trainer', '--bucket={data_bucket}']
     | spot_train.core.fill_placeholders({'data_bucket': 'prices'}, '/opt/venv/bin') }}
"""

RETURN = r"""
_value:
  description: The argument list.
  type: list
  elements: str
"""


def fill_placeholders(arguments: Any, values: Any, programs: str = "") -> list[str]:
    """See ``DOCUMENTATION``."""
    if not isinstance(arguments, list):
        raise AnsibleFilterError(f"fill_placeholders: expected a list, got {type(arguments).__name__}")
    try:
        filled: list[str] = run_placeholders.fill(arguments, values, programs)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return filled


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"fill_placeholders": fill_placeholders}
