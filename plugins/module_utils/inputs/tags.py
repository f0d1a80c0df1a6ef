"""The parts of a run that `--tags` and `--skip-tags` select.

Everything else is tagged `always`: every run checks inputs, launches and prepares an instance, terminates and reports.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

#: The optional parts of a run, by their tags in `playbooks/attempt.yml`.
PARTS = ("preflight", "training")
#: Tags with a special meaning in Ansible, and why each is refused.
_SPECIAL = {
    "always": "tasks tagged always include the termination: they cannot be skipped, and do nothing alone",
    "never": "no task is tagged never",
    "tagged": "all parts are tagged",
    "untagged": "all parts are tagged",
    "all": "nothing would be left to do",
}


class TagError(Exception):
    """A tag is refused; one line says which, why, and what is expected."""


def chosen_parts(run_tags: Sequence[str], skip_tags: Sequence[str], parts: Collection[str] = PARTS) -> set[str]:
    """Return the `parts` of a playbook, which are empty if it accepts no tags, that `--tags` and `--skip-tags` select.

    A TagError reports an unknown tag, or tags that leave nothing to do. Ansible's default of `--tags` is `all`.
    """
    for option, tags in (("--tags", run_tags), ("--skip-tags", skip_tags)):
        for tag in tags:
            if tag not in parts and (option, tag) != ("--tags", "all"):
                raise TagError(f"{option} {tag}: {_objection(tag, parts)}")
    left = set(parts if "all" in run_tags else run_tags) - set(skip_tags)
    if parts and not left:
        given = [f"--tags {','.join(run_tags)}"] if "all" not in run_tags else []
        given += [f"--skip-tags {','.join(skip_tags)}"] if skip_tags else []
        raise TagError(f"{' '.join(given)} leaves nothing to do")
    return left


def _objection(tag: str, parts: Collection[str]) -> str:
    """Say why a tag is refused, and what is expected."""
    if not parts:
        return "this playbook has no tags; omit the option"
    expected = f"expected {' or '.join(sorted(parts))}"
    if tag in _SPECIAL:
        return f"{_SPECIAL[tag]} ({expected})"
    near = difflib.get_close_matches(tag, sorted(parts), n=1)
    return f"unknown tag ({f'did you mean {near[0]!r}?' if near else expected})"
