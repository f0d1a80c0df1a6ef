"""Fills in policy templates: `${name}` in their texts, with a value or a list of values.

    python -m local_aws.substitutions name=value … <policy.json >filled.json

In a list, a text that names a list becomes one text for each of its entries: a policy's list of resources grows with
the list of prefixes. IAM's own variables (`${aws:username}`) and names without a value stay as they are.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def fill(document: Any, values: Mapping[str, Any]) -> Any:
    """A parsed JSON document with its texts filled in from ``values``, each a text or a list of texts."""
    if isinstance(document, dict):
        return {name: fill(entry, values) for name, entry in document.items()}
    if isinstance(document, list):
        return [filled for entry in document for filled in _all(entry, values)]
    return _text(document, values) if isinstance(document, str) else document


def _all(entry: Any, values: Mapping[str, Any]) -> list[Any]:
    """The expansion of an entry of a list: one text for each entry of the list that it names, else itself."""
    if not isinstance(entry, str):
        return [fill(entry, values)]
    named = next((name for name in string.Template(entry).get_identifiers() if isinstance(values.get(name), list)), "")
    return [_text(entry, {**values, named: value}) for value in values[named]] if named else [_text(entry, values)]


def _text(text: str, values: Mapping[str, Any]) -> str:
    return string.Template(text).safe_substitute(values)


def main(arguments: Sequence[str]) -> int:
    """Fill in standard input from ``name=value`` arguments; names ending in `_prefixes` have comma-separated lists."""
    given = dict(argument.split("=", 1) for argument in arguments)
    values = {name: text.split(",") if name.endswith("_prefixes") else text for name, text in given.items()}
    print(json.dumps(fill(json.load(sys.stdin), values), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
