"""Filter that replaces the placeholders of a policy."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: fill_policy
short_description: Replace the placeholders of a policy
description:
  - Replaces each C(${name}) in a policy with its value.
  - A text in a list whose placeholder is a list becomes one text per entry, for example a policy's resources for a list
    of prefixes.
  - IAM's own variables, such as C(${aws:username}), are kept.
options:
  _input:
    description: The policy.
    type: dict
    required: true
  values:
    description: Values by placeholder, texts or lists of texts. A placeholder without a value is an error.
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
    """See ``DOCUMENTATION``."""
    if isinstance(document, dict):
        return {name: fill_policy(entry, values) for name, entry in document.items()}
    if isinstance(document, list):
        return [filled for entry in document for filled in _entries(entry, values)]
    return _text(document, values) if isinstance(document, str) else document


def _entries(entry: Any, values: Mapping[str, Any]) -> list[Any]:
    """Return what replaces an entry of a list: one text, or one per entry of its placeholder's list."""
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
            known = ", ".join(sorted(values))
            raise AnsibleFilterError(f"${{{name}}}: no value for this placeholder (known: {known})")
        if isinstance(values[name], list):
            raise AnsibleFilterError(f"${{{name}}}: expected one text in {text!r}, got a list")
    return template.safe_substitute(values)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"fill_policy": fill_policy}
