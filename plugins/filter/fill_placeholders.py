"""The filter that fills the placeholders of a command in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.spot_train.core.plugins.module_utils.inputs import placeholders as run_placeholders

DOCUMENTATION = r"""
name: fill_placeholders
short_description: Fill the placeholders of a command in
description:
  - Takes an argument list in which C({name}) stands for a value, and returns the list to start.
options:
  _input:
    description: Program and arguments.
    type: list
    elements: str
    required: true
  values:
    description: What each placeholder stands for. One that is not here is an error.
    type: dict
    required: true
  programs:
    description: Folder of a program that is named without one.
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
    """See ``DOCUMENTATION``.

    Raises:
        AnsibleFilterError: No list, or a placeholder that stands for nothing.
    """
    if isinstance(arguments, str) or not isinstance(arguments, list):
        raise AnsibleFilterError(f"fill_placeholders takes a list, not {type(arguments).__name__}")
    try:
        filled: list[str] = run_placeholders.fill(arguments, values, programs)
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return filled


class FilterModule:
    """What Ansible asks a file of filters for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"fill_placeholders": fill_placeholders}
