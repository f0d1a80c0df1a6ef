"""Filling the policies of `files/iam` in: `${name}` in their texts, one value or a list of them.

    python -m local_aws.substitutions name=value … <policy.json >filled.json

A text in a list that names a list becomes as many texts as that has entries, so that a policy's list of resources grows
with the list of prefixes. IAM's own variables (`${aws:username}`) stay as they are, and so do names without a value.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def fill(document: Any, values: Mapping[str, Any]) -> Any:
    """The document with its texts filled in.

    Args:
        document: What JSON gives.
        values: Texts, or lists of texts.
    """
    if isinstance(document, dict):
        return {name: fill(entry, values) for name, entry in document.items()}
    if isinstance(document, list):
        return [filled for entry in document for filled in _all(entry, values)]
    return _text(document, values) if isinstance(document, str) else document


def _all(entry: Any, values: Mapping[str, Any]) -> list[Any]:
    """What becomes of one entry of a list: itself, or one text for each entry of the list that it names."""
    if not isinstance(entry, str):
        return [fill(entry, values)]
    named = next((name for name in string.Template(entry).get_identifiers() if isinstance(values.get(name), list)), "")
    return [_text(entry, {**values, named: value}) for value in values[named]] if named else [_text(entry, values)]


def _text(text: str, values: Mapping[str, Any]) -> str:
    return string.Template(text).safe_substitute(values)


def main(arguments: Sequence[str]) -> int:
    """Fill standard input in and print it; the value of a name that ends with `_prefixes` is a list, with commas.

    Args:
        arguments: `name=value`, each.

    Returns:
        The exit code.
    """
    given = dict(argument.split("=", 1) for argument in arguments)
    values = {name: text.split(",") if name.endswith("_prefixes") else text for name, text in given.items()}
    print(json.dumps(fill(json.load(sys.stdin), values), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
