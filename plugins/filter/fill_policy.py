"""The filter that fills the placeholders of a policy in."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: fill_policy
short_description: Fill the placeholders of a policy in
description:
  - Takes a policy in which C(${name}) stands for a value, and returns the policy to give to IAM.
  - A text in a list that names a list becomes as many texts as that has entries, so that a policy's list of resources
    grows with the list of prefixes.
  - IAM's own variables, C(${aws:username}), stay as they are.
options:
  _input:
    description: The policy.
    type: dict
    required: true
  values:
    description: What each placeholder stands for, a text or a list of texts. One that is not here is an error.
    type: dict
    required: true
"""

EXAMPLES = r"""
# {'Resource': ['arn:aws:s3:::prices/a/*', 'arn:aws:s3:::prices/b/*']}
policy: >-
  {{ {'Resource': ['arn:aws:s3:::prices/${prefixes}*']} | spot_train.core.fill_policy({'prefixes': ['a/', 'b/']}) }}
"""

RETURN = r"""
_value:
  description: The policy without placeholders.
  type: dict
"""


def fill_policy(document: Any, values: Mapping[str, Any]) -> Any:
    """See ``DOCUMENTATION``.

    Raises:
        AnsibleFilterError: A placeholder that stands for nothing, or a list where there is room for one text.
    """
    if isinstance(document, dict):
        return {name: fill_policy(entry, values) for name, entry in document.items()}
    if isinstance(document, list):
        return [filled for entry in document for filled in _entries(entry, values)]
    return _text(document, values) if isinstance(document, str) else document


def _entries(entry: Any, values: Mapping[str, Any]) -> list[Any]:
    """What becomes of one entry of a list: itself, or one text for each entry of the list that it names."""
    if not isinstance(entry, str):
        return [fill_policy(entry, values)]
    lists = [name for name in string.Template(entry).get_identifiers() if isinstance(values.get(name), list)]
    if not lists:
        return [_text(entry, values)]
    return [_text(entry, {**values, lists[0]: value}) for value in values[lists[0]]]


def _text(text: str, values: Mapping[str, Any]) -> str:
    template = string.Template(text)
    for name in template.get_identifiers():
        if name not in values:
            there = ", ".join(sorted(values))
            raise AnsibleFilterError(f"a policy holds ${{{name}}}, and there is no value for it; there is: {there}")
        if isinstance(values[name], list):
            raise AnsibleFilterError(f"${{{name}}} is a list, and {text!r} stands where a policy takes one text")
    return template.safe_substitute(values)


class FilterModule:
    """What Ansible asks a file of filters for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"fill_policy": fill_policy}
